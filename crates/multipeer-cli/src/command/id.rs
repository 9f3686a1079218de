//! `multipeer id`: the id of this device, and those that it is paired with.

use std::path::Path;

use multipeer::{Identity, PairedDevice, PairedDevices};
use serde_json::{Value, json};

use crate::{
    cli::{Common, Id, IdCommand},
    failure::Failure,
    output,
    trust::paired_file,
};

pub(crate) fn run(common: &Common, options: &Id) -> Result<(), Failure> {
    let file = common.identity.as_deref();
    let needed = || file.ok_or_else(|| Failure::Check("say which with --identity FILE".to_owned()));
    match &options.what {
        None | Some(IdCommand::Show) => {
            let identity =
                file.map_or_else(|| Ok(Identity::generate()), Identity::load_or_create)?;
            show(common, &identity, file);
        }
        Some(IdCommand::New) => {
            let file = needed()?;
            if file.exists() {
                let text = format!("{} is there already: `multipeer id rotate`", file.display());
                return Err(Failure::Check(text));
            }
            show(common, &Identity::load_or_create(file)?, Some(file));
        }
        Some(IdCommand::Rotate) => {
            let file = needed()?;
            show(common, &Identity::rotate(file)?, Some(file));
        }
        Some(IdCommand::Paired) => {
            let devices = PairedDevices::load(paired_file(needed()?))?;
            devices.iter().for_each(|device| show_device(common, device));
        }
        Some(IdCommand::Forget { device }) => {
            let mut devices = PairedDevices::load(paired_file(needed()?))?;
            let found: Vec<PairedDevice> =
                devices.iter().filter(|known| is_called(known, device)).cloned().collect();
            let [found] = found.as_slice() else {
                let text = match found.len() {
                    0 => format!("no paired device is called {device:?}"),
                    count => format!("{count} paired devices are called {device:?}: say the id"),
                };
                return Err(Failure::Check(text));
            };
            devices.forget(found.id)?;
            show_device(common, found);
        }
    }
    Ok(())
}

fn is_called(device: &PairedDevice, text: &str) -> bool {
    device.name.as_str() == text || device.id.to_string().starts_with(&text.to_lowercase())
}

fn show(common: &Common, identity: &Identity, file: Option<&Path>) {
    let id = identity.peer_id().to_string();
    if common.json {
        let file = file.map(|file| file.display().to_string());
        output::line(&json!({"event": "id", "id": id, "file": file}));
        return;
    }
    output::line(&id);
    if file.is_none() {
        eprintln!("a fresh id, for one start; --identity FILE keeps one");
    }
}

fn show_device(common: &Common, device: &PairedDevice) {
    let PairedDevice { id, name, since, how, addresses } = device;
    if common.json {
        let device: Value = json!({
            "event": "paired", "id": id.to_string(), "name": name.as_str(),
            "since": since, "how": how, "addresses": addresses,
        });
        output::line(&device);
    } else {
        output::line(&format!("{id} {name} ({how})"));
    }
}
