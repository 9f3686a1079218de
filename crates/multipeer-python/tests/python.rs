//! Runs the package's own tests, which are written for pytest (`tests/test_*.py`).
//!
//! `MULTIPEER_PYTHON` names interpreters, separated by colons, that have the package installed, and pytest: then the
//! installed package is tested, and must be there. Without it the one that was just built is, with `python3`, if that has
//! pytest; if not, the test says so and is skipped.

// Helpers of tests fail by panicking, as tests do.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Where cargo puts programs and libraries.
fn built(name: &str) -> PathBuf {
    let mut folder = env::current_exe().unwrap();
    folder.pop();
    let beside = folder.join(name);
    folder.pop();
    let above = folder.join(name);
    // A library that was built for its tests alone is beside them.
    [above, beside].into_iter().find(|path| path.exists()).unwrap_or_default()
}

fn source() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The package as it would be installed: its Python files and the library, in a folder to be put on Python's path.
fn stage(folder: &Path) {
    let package = folder.join("multipeer");
    fs::create_dir_all(&package).unwrap();
    for entry in fs::read_dir(source().join("python/multipeer")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, package.join(path.file_name().unwrap())).unwrap();
        }
    }
    let library = env::consts::DLL_PREFIX.to_owned() + "multipeer_python" + env::consts::DLL_SUFFIX;
    let module = if cfg!(windows) { "_multipeer.pyd" } else { "_multipeer.abi3.so" };
    fs::copy(built(&library), package.join(module)).unwrap();
}

/// The tests and what they read, away from the package's source.
fn tests_in(folder: &Path) {
    for name in ["tests", "examples"] {
        fs::create_dir_all(folder.join(name)).unwrap();
        for entry in fs::read_dir(source().join(name)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "py") {
                fs::copy(&path, folder.join(name).join(path.file_name().unwrap())).unwrap();
            }
        }
    }
}

fn pytest(python: &str, folder: &Path, package: Option<&Path>) {
    let command = format!("multipeer{}", env::consts::EXE_SUFFIX);
    let mut tests = Command::new(python);
    tests
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"])
        .current_dir(folder)
        .env("MULTIPEER_COMMAND", built(&command))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("PYTHONPATH");
    if let Some(package) = package {
        tests.env("PYTHONPATH", package);
    }
    assert!(tests.status().unwrap().success(), "tests of the Python package failed with {python}");
}

#[test]
fn the_python_package_passes_its_tests() {
    let folder = env::temp_dir().join(format!("multipeer-python-{}", std::process::id()));
    tests_in(&folder);
    if let Some(interpreters) = env::var("MULTIPEER_PYTHON").ok().filter(|names| !names.is_empty())
    {
        interpreters.split(':').for_each(|python| pytest(python, &folder, None));
    } else {
        let found = Command::new("python3").args(["-c", "import pytest"]).output();
        if found.is_ok_and(|output| output.status.success()) {
            let package = folder.join("package");
            stage(&package);
            pytest("python3", &folder, Some(&package));
        } else {
            println!("SKIPPED: python3 with pytest is not installed");
        }
    }
    fs::remove_dir_all(&folder).unwrap();
}
