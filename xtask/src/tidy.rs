//! Rules of style that neither the compiler nor clippy checks.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Lines of a file, its tests not counted.
const MAX_LINES: usize = 600;

/// Words that leave work undone.
const UNFINISHED: [&str; 4] = ["todo!(", "unimplemented!(", "FIXME", "XXX"];

/// Checks every Rust file of the project.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let mut problems = Vec::new();
    for folder in ["crates", "fuzz", "xtask"] {
        for path in rust_files(&root.join(folder)) {
            match fs::read_to_string(&path) {
                Ok(text) => problems.extend(problems_of(&path, &text)),
                Err(error) => problems.push(format!("{}: {error}", path.display())),
            }
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

fn problems_of(path: &Path, text: &str) -> Vec<String> {
    let name = path.display();
    let mut problems = Vec::new();
    let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
    if lines > MAX_LINES {
        problems
            .push(format!("{name}: {lines} lines, where {MAX_LINES} are the most: find the seam"));
    }
    if !text.starts_with("//!") && !text.starts_with("#![") && !is_test(path) {
        problems.push(format!("{name}: says nowhere what it is for (`//!`)"));
    }
    // This file names them.
    if !path.ends_with("xtask/src/tidy.rs") {
        for (number, line) in text.lines().enumerate() {
            let number = number + 1;
            for word in UNFINISHED.iter().filter(|word| line.contains(*word)) {
                problems.push(format!("{name}:{number}: {word} is left open"));
            }
            if line.contains("#[ignore") {
                problems.push(format!("{name}:{number}: a test that is ignored proves nothing"));
            }
        }
    }
    problems
}

fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem == "tests")
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        if let Err(problems) = check(root) {
            panic!("\n{problems}");
        }
    }

    #[test]
    fn what_is_not_tidy_is_named() {
        let long = "//! x\n".repeat(MAX_LINES + 1);
        assert!(problems_of(Path::new("a.rs"), &long)[0].contains("find the seam"));
        assert!(problems_of(Path::new("a.rs"), "fn a() {}")[0].contains("what it is for"));
        let open = format!("//! x\n// {}", UNFINISHED[2]);
        assert!(problems_of(Path::new("a.rs"), &open)[0].contains("left open"));
    }
}
