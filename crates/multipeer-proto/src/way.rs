//! The ways in which a peer may be heard of.

use std::fmt;

/// One way in which it is known that a peer is near.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Way {
    /// Multicast DNS, spoken by this library.
    Mdns,
    /// Multicast DNS, spoken by the system's own responder.
    SystemResponder,
    /// A question that was broadcast or sent to each address, for networks on which multicast does not arrive.
    Probe,
    /// It answers at an address where a paired device was last.
    Remembered,
    /// A hub in the session repeats it.
    Hub,
    /// Its address was given by hand, or stands in a ticket.
    Given,
}

impl Way {
    /// All of them, the one that says most first.
    pub const ALL: [Self; 6] =
        [Self::Mdns, Self::SystemResponder, Self::Probe, Self::Remembered, Self::Hub, Self::Given];

    /// As one word, the same in every language and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mdns => "mdns",
            Self::SystemResponder => "system-responder",
            Self::Probe => "probe",
            Self::Remembered => "remembered",
            Self::Hub => "hub",
            Self::Given => "given",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Ways(u8);

impl Ways {
    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this one is among them.
    pub const fn contains(self, way: Way) -> bool {
        self.0 & Self::bit(way) != 0
    }

    /// Those among them, the one that says most first.
    pub fn iter(self) -> impl Iterator<Item = Way> {
        Way::ALL.into_iter().filter(move |&way| self.contains(way))
    }

    /// Adds one.
    pub const fn insert(&mut self, way: Way) {
        self.0 |= Self::bit(way);
    }

    /// Takes one out.
    pub const fn remove(&mut self, way: Way) {
        self.0 &= !Self::bit(way);
    }

    const fn bit(way: Way) -> u8 {
        1 << way as u8
    }
}

impl From<Way> for Ways {
    fn from(way: Way) -> Self {
        let mut ways = Self::default();
        ways.insert(way);
        ways
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_into_it_and_not_taken_out() {
        let mut ways = Ways::default();
        assert!(ways.is_empty());
        Way::ALL.into_iter().for_each(|way| ways.insert(way));
        ways.insert(Way::Probe);
        ways.remove(Way::Hub);
        let rest = [Way::Mdns, Way::SystemResponder, Way::Probe, Way::Remembered, Way::Given];
        assert_eq!(ways.iter().collect::<Vec<_>>(), rest);
    }
}
