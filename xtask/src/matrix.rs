//! The table of networks in docs/discovery.md, from what the lab's tests of them saw.

use std::{fs, path::Path};

use crate::run_cargo;

/// Between these the table stands.
const BEGIN: &str = "<!-- matrix: `cargo xtask matrix` writes this -->\n";
const END: &str = "<!-- end of the matrix -->\n";
const HEAD: &str = "| network | what happens | how | time |\n|---|---|---|---|\n";

/// Runs the tests, one after the other, and writes the table. Fails if a test does.
pub(crate) fn write(root: &Path) -> Result<(), String> {
    let folder = root.join("target/matrix");
    let failed = |error: std::io::Error| format!("could not write the matrix: {error}");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(failed)?;
    }
    fs::create_dir_all(&folder).map_err(failed)?;
    run_cargo(&["build", "--release", "--workspace", "--bins"], &[])?;
    let tests = ["test", "--release", "--workspace", "--test", "matrix", "--", "--test-threads=1"];
    let variables =
        [("MULTIPEER_LAB", "required"), ("MULTIPEER_MATRIX", &folder.to_string_lossy())];
    run_cargo(&tests, &variables)?;
    let mut files: Vec<_> =
        fs::read_dir(&folder).map_err(failed)?.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let rows = files.iter().map(fs::read_to_string).collect::<Result<String, _>>();
    let page = root.join("docs/discovery.md");
    let text = fs::read_to_string(&page).map_err(failed)?;
    let (before, rest) = text.split_once(BEGIN).ok_or("docs/discovery.md has no place for it")?;
    let (_, after) = rest.split_once(END).ok_or("docs/discovery.md has no end of the matrix")?;
    let table = format!("{before}{BEGIN}{HEAD}{}{END}{after}", rows.map_err(failed)?);
    fs::write(&page, table).map_err(failed)
}
