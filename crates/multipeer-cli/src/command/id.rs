//! `multipeer id`: the id of this device.

use multipeer::Identity;
use serde_json::json;

use crate::{cli::Common, failure::Failure, output};

pub(crate) fn run(common: &Common) -> Result<(), Failure> {
    let (identity, file) = match &common.identity {
        Some(path) => (Identity::load_or_create(path)?, Some(path.display().to_string())),
        None => (Identity::generate(), None),
    };
    let id = identity.peer_id().to_string();
    if common.json {
        output::line(&json!({"event": "id", "id": id, "file": file}));
        return Ok(());
    }
    output::line(&id);
    if file.is_none() {
        eprintln!("a fresh id, for one start; --identity FILE keeps one");
    }
    Ok(())
}
