//! `multipeer doctor`: why peers do not find each other.

use std::time::Duration;

use multipeer::{
    discovery::Way,
    doctor::{Adapter, Partner, PortCheck, Report},
};
use serde_json::{Value, json};

use crate::{
    cli::{Common, Doctor},
    failure::Failure,
    output,
};

/// Columns of the text.
const WIDTH: usize = 78;

pub(crate) async fn run(common: &Common, options: &Doctor) -> Result<(), Failure> {
    if !common.json {
        output::line(
            &"Looking at the networks of this device, and for a doctor on another one ...",
        );
    }
    let report = multipeer::doctor::Doctor::default()
        .interfaces(common.network.interfaces())
        .discovery(common.network.discovery())
        .name(common.name.clone().unwrap_or_else(host_name))
        .patience(Duration::from_secs(options.patience))
        .examine()
        .await;
    if common.json {
        output::line(&to_json(&report));
    } else {
        print(&report);
    }
    if report.finds_trouble() { Err(Failure::Trouble) } else { Ok(()) }
}

/// What the system calls this device.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = [name.trim().to_owned(), std::env::var("COMPUTERNAME").unwrap_or_default()];
    let name = name.into_iter().find(|name| !name.is_empty() && name.len() <= 63);
    name.unwrap_or_else(|| "another device".to_owned())
}

fn print(report: &Report) {
    output::line(&"\nInterfaces");
    report.adapters.iter().for_each(|adapter| output::line(&format!("  {}", describe(adapter))));
    let surroundings = &report.surroundings;
    output::line(&"\nThis device");
    report.ports.iter().for_each(|port| output::line(&format!("  {}", open(port))));
    if let Some(owner) = &surroundings.port_owner {
        let avahi = if surroundings.has_avahi { ", Avahi runs" } else { "" };
        output::line(&format!("  another responder is there ({owner}{avahi})"));
    }
    if let Some(route) = &surroundings.default_route {
        output::line(&format!("  the default route is by {route}"));
    }
    output::line(&match &surroundings.firewall {
        None => "  the firewall's rules cannot be read".to_owned(),
        Some(rules) if rules.is_empty() => "  no rule of a firewall is in the way".to_owned(),
        Some(rules) => format!("  rules that may matter:\n    {}", rules.join("\n    ")),
    });
    if !report.partners.is_empty() {
        output::line(&"\nOther devices with a doctor");
    }
    report.partners.iter().for_each(|partner| output::line(&format!("  {}", meet(partner))));
    output::line(&"\nVerdict");
    for diagnosis in &report.diagnoses {
        let text = output::printable(&diagnosis.to_string());
        let options = textwrap::Options::new(WIDTH)
            .initial_indent(if diagnosis.cause.is_trouble() { "  ! " } else { "  - " })
            .subsequent_indent("    ");
        output::line(&textwrap::fill(text.trim(), options));
    }
}

fn open(check: &PortCheck) -> String {
    let family = if check.is_v6 { "IPv6" } else { "IPv4" };
    let port =
        check.port.map_or_else(|| "any UDP port".to_owned(), |port| format!("UDP port {port}"));
    let result = match &check.error {
        None => "can be opened".to_owned(),
        Some(error) => format!("cannot be opened: {error}"),
    };
    format!("{port} for {} ({family}) {result}", check.purpose)
}

fn describe(adapter: &Adapter) -> String {
    let networks: Vec<String> = adapter
        .networks
        .iter()
        .map(|network| format!("{}/{}", network.address, network.prefix_len))
        .collect();
    let mut words = vec![adapter.kind.as_str().to_owned()];
    if !adapter.is_up {
        words.push("down or without an address".to_owned());
    }
    if !adapter.is_used {
        words.push("not used".to_owned());
    }
    if adapter.has_multicast == Some(false) {
        words.push("no multicast".to_owned());
    }
    match adapter.hears_itself {
        Some(true) => words.push("multicast goes out and comes back".to_owned()),
        Some(false) => words.push("multicast does not come back".to_owned()),
        None => {}
    }
    if adapter.hears_itself.is_some() {
        words.push(format!("{} others answer", adapter.responders.len()));
    }
    if let Some(tunnel) = &adapter.taken_by {
        words.push(format!("taken by the tunnel {tunnel}"));
    }
    if let Some(mtu) = adapter.mtu {
        words.push(format!("packets of {mtu} bytes"));
    }
    format!("{}: {}: {}", adapter.name, networks.join(" "), words.join(", "))
}

fn meet(partner: &Partner) -> String {
    let heard: Vec<&str> = partner.heard.iter().map(Way::as_str).collect();
    let mut words = vec![format!("heard by {}", heard.join(" and "))];
    if let Some(hears) = partner.hears {
        let hears: Vec<&str> = hears.iter().map(Way::as_str).collect();
        words.push(format!("hears this device by {}", hears.join(" and ")));
    }
    if let Some(route) = &partner.route {
        words.push(format!("reached {route}"));
    }
    if let Some(took) = partner.round_trip {
        words.push(format!("round trip {:.1} ms", took.as_secs_f64() * 1e3));
    }
    if let Some(loss) = partner.loss {
        words.push(format!("{:.0} % of datagrams lost", loss * 100.0));
    }
    if let Some(bytes) = partner.datagram_bytes {
        words.push(format!("datagrams of {bytes} bytes"));
    }
    words.extend(partner.error.iter().map(|error| format!("not reached: {error}")));
    output::printable(&format!("{}: {}", partner.name, words.join(", ")))
}

fn to_json(report: &Report) -> Value {
    let ways =
        |ways: multipeer::discovery::Ways| -> Vec<&str> { ways.iter().map(Way::as_str).collect() };
    let adapters = report.adapters.iter().map(|adapter| {
        json!({
            "name": adapter.name,
            "kind": adapter.kind.as_str(),
            "used": adapter.is_used,
            "up": adapter.is_up,
            "multicast": adapter.has_multicast,
            "mtu": adapter.mtu,
            "addresses": adapter.networks.iter().map(|n| format!("{}/{}", n.address, n.prefix_len)).collect::<Vec<_>>(),
            "taken_by": adapter.taken_by,
            "hears_itself": adapter.hears_itself,
            "send_error": adapter.send_error,
            "responders": adapter.responders,
            "neighbours": adapter.neighbours,
        })
    });
    let partners = report.partners.iter().map(|partner| {
        json!({
            "name": partner.name,
            "id": partner.id.to_string(),
            "heard": ways(partner.heard),
            "hears": partner.hears.map(ways),
            "linked": partner.is_linked,
            "error": partner.error,
            "route": partner.route.as_ref().map(ToString::to_string),
            "round_trip_us": partner.round_trip.map(|took| took.as_secs_f64() * 1e6),
            "loss": partner.loss,
            "datagram_bytes": partner.datagram_bytes,
            "clock_ahead_s": partner.clock_ahead,
        })
    });
    let diagnoses = report.diagnoses.iter().map(|diagnosis| {
        let (finding, advice) = (&diagnosis.finding, &diagnosis.advice);
        json!({"cause": diagnosis.cause.as_str(), "finding": finding, "advice": advice})
    });
    let ports = report.ports.iter().map(|port| {
        json!({"purpose": port.purpose, "port": port.port, "ipv6": port.is_v6, "error": port.error})
    });
    let surroundings = &report.surroundings;
    json!({
        "event": "report",
        "interfaces": adapters.collect::<Vec<_>>(),
        "ports": ports.collect::<Vec<_>>(),
        "port_5353": {
            "shared": surroundings.port_error.is_none(),
            "error": surroundings.port_error,
            "owner": surroundings.port_owner,
            "avahi": surroundings.has_avahi,
        },
        "default_route": surroundings.default_route,
        "firewall": surroundings.firewall,
        "clock_is_wrong": surroundings.clock_is_wrong,
        "problems": report.problems.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "partners": partners.collect::<Vec<_>>(),
        "diagnoses": diagnoses.collect::<Vec<_>>(),
    })
}
