//! Which formats there are.

use std::sync::Arc;

use crate::avro::Avro;
use crate::format::Format;
use crate::json::Json;
use crate::text::{Binary, Text};

/// The formats that there are. A new one is a file of its own beside those, and a line here.
#[must_use]
pub fn standard() -> Vec<Arc<dyn Format>> {
    vec![Arc::new(Avro), Arc::new(Json), Arc::new(Text), Arc::new(Binary)]
}
