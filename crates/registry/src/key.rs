//! The name of a schema in a registry and in an event: an id, or a GUID.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A registry's 16-byte id that is the same in every registry that holds the schema. Its text form is a UUID's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Guid(pub [u8; 16]);

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Uuid::from_bytes(self.0), f)
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Guid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = |_| format!("'{text}' is no GUID: it needs 32 hexadecimal digits");
        Uuid::try_parse(text).map(|uuid| Self(uuid.into_bytes())).map_err(problem)
    }
}

impl Serialize for Guid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Guid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What an event names its writer's schema by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaKey {
    /// A registry's id.
    Id(i32),
    /// A GUID, the same in all registries.
    Guid(Guid),
}

impl fmt::Display for SchemaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "id {id}"),
            Self::Guid(guid) => write!(f, "GUID {guid}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    const BYTES: [u8; 16] =
        [0x89, 0x79, 0x17, 0x62, 0x23, 0x36, 0x41, 0x86, 0x96, 0x74, 0x29, 0x9b, 0x90, 0xa8, 0x02, 0xe2];

    #[test]
    fn a_guid_survives_text() {
        let guid: Guid = "89791762-2336-4186-9674-299b90a802e2".parse().unwrap();
        assert_eq!(guid.0, BYTES);
        assert!("89791762-2336".parse::<Guid>().is_err());
        assert!("zz791762-2336-4186-9674-299b90a802e2".parse::<Guid>().is_err());
        let json = serde_json::to_string(&guid).unwrap();
        assert_eq!(serde_json::from_str::<Guid>(&json).unwrap(), guid);
    }
}
