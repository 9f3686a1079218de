//! Names from the network that are to become names on the disk. They are hostile: what could lead
//! anywhere else than into the target is refused, what a system could not hold is made safe.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use minicbor::{
    Decode, Decoder, Encode, Encoder, decode::Error as DecodeError, encode::Error as EncodeError,
    encode::Write,
};

use crate::limits::{MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_PATH_DEPTH};

/// A name that is refused, and the rule that it breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the name {name:?} {problem}")]
pub struct PathError {
    /// The name, cut to 80 characters.
    pub name: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

fn refused(name: &str, problem: &'static str) -> PathError {
    PathError { name: name.chars().take(80).collect(), problem }
}

/// Checks one component of a path, or the name of a resource.
pub fn check_component(name: &str) -> Result<(), PathError> {
    let problem = if name.is_empty() {
        "is empty"
    } else if name == "." || name == ".." {
        "stands for a folder"
    } else if name.contains(['/', '\\']) {
        "contains a separator"
    } else if name.contains('\0') {
        "contains NUL"
    } else if name.chars().any(char::is_control) {
        "contains a control character"
    } else if name.len() > MAX_NAME_BYTES {
        "has more than 255 bytes"
    } else {
        return Ok(());
    };
    Err(refused(name, problem))
}

/// Names that Windows takes for devices, whatever follows a dot.
const DEVICES: [&str; 24] = [
    "con", "prn", "aux", "nul", "com0", "com1", "com2", "com3", "com4", "com5", "com6", "com7",
    "com8", "com9", "lpt0", "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// Makes a component that was checked one that any system can hold: no device, no dot or space at
/// its end, none of the characters that Windows forbids.
pub fn safe_component(name: &str) -> String {
    let mut safe: String =
        name.chars().map(|c| if "<>:\"|?*".contains(c) { '_' } else { c }).collect();
    let stem = safe.split('.').next().unwrap_or_default().trim_end().to_lowercase();
    if DEVICES.contains(&stem.as_str()) {
        safe.insert(0, '_');
    }
    // One byte for one, so that the length stays.
    while safe.ends_with(['.', ' ']) {
        let kept = safe.trim_end_matches(['.', ' ']).len();
        let tail = "_".repeat(safe.len() - kept);
        safe.replace_range(kept.., &tail);
    }
    let end = safe.floor_char_boundary(MAX_NAME_BYTES);
    safe.truncate(end);
    safe
}

/// Where an entry is within its folder. Empty for what is sent alone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EntryPath(Vec<String>);

impl EntryPath {
    /// Checks a path.
    pub fn new(components: Vec<String>) -> Result<Self, PathError> {
        components.iter().try_for_each(|component| check_component(component))?;
        let bytes: usize = components.iter().map(|component| component.len() + 1).sum();
        if components.len() > MAX_PATH_DEPTH || bytes > MAX_PATH_BYTES {
            return Err(refused(&components.join("/"), "is too long or too deep"));
        }
        Ok(Self(components))
    }

    /// The components, the outermost first.
    pub fn components(&self) -> &[String] {
        &self.0
    }

    /// The folder in which it lies, and its own name there.
    pub fn split_last(&self) -> Option<(Self, &str)> {
        let (name, parent) = self.0.split_last()?;
        Some((Self(parent.to_vec()), name))
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

impl fmt::Debug for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl<C> Encode<C> for EntryPath {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, c: &mut C) -> Result<(), EncodeError<W::Error>> {
        self.0.encode(e, c)
    }
}

impl<'b, C> Decode<'b, C> for EntryPath {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, DecodeError> {
        let count = d.array()?.unwrap_or(u64::MAX);
        if count > MAX_PATH_DEPTH as u64 {
            return Err(DecodeError::message("a path is too deep"));
        }
        let components = (0..count).map(|_| d.str().map(str::to_owned));
        Self::new(components.collect::<Result<_, _>>()?).map_err(DecodeError::message)
    }
}

/// Where a symbolic link leads: relative, and nowhere outside the folder that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkTarget(String);

impl LinkTarget {
    /// Checks the target of the link at `path`. Upward steps may only stand at its beginning:
    /// behind a name they could start from wherever another link leads.
    pub fn new(path: &EntryPath, target: &str) -> Result<Self, PathError> {
        if target.is_empty() || target.len() > MAX_PATH_BYTES || target.contains('\0') {
            return Err(refused(target, "is no target for a link"));
        }
        if target.starts_with(['/', '\\']) || target.contains(['\\', ':']) {
            return Err(refused(target, "is an absolute target of a link"));
        }
        let mut depth = path.0.len().saturating_sub(1);
        let mut descended = false;
        for step in target.split('/').filter(|step| !step.is_empty() && *step != ".") {
            if step == ".." {
                if descended || depth == 0 {
                    return Err(refused(target, "is a target of a link outside the folder"));
                }
                depth -= 1;
            } else {
                descended = true;
            }
        }
        Ok(Self(target.to_owned()))
    }

    /// The target as text, with `/` between its components.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Gives each entry of a folder a name of its own that any system can hold: of two that differ
/// in case only, or become the same when made safe, the later is numbered.
#[derive(Debug, Default)]
pub struct SafeNames {
    /// For each folder, as it was named by the sender, the names there.
    folders: BTreeMap<EntryPath, Names>,
}

#[derive(Debug, Default)]
struct Names {
    given: BTreeMap<String, String>,
    taken: BTreeSet<String>,
}

impl SafeNames {
    /// The safe path for a path. The same one for the same path, whatever comes between.
    pub fn path(&mut self, path: &EntryPath) -> Vec<String> {
        let mut parent = EntryPath::default();
        let mut safe = Vec::with_capacity(path.0.len());
        for component in &path.0 {
            let names = self.folders.entry(parent.clone()).or_default();
            safe.push(names.give(component));
            parent.0.push(component.clone());
        }
        safe
    }
}

impl Names {
    fn give(&mut self, name: &str) -> String {
        if let Some(given) = self.given.get(name) {
            return given.clone();
        }
        let safe = safe_component(name);
        let mut candidate = safe.clone();
        let mut number = 1;
        while !self.taken.insert(candidate.to_lowercase()) {
            candidate = numbered(&safe, number);
            number += 1;
        }
        self.given.insert(name.to_owned(), candidate.clone());
        candidate
    }
}

/// Another name for a name that is taken: `film.mkv` becomes `film (1).mkv`, cut so that it fits.
pub fn numbered(name: &str, number: u64) -> String {
    let dot = name.rfind('.').filter(|&dot| dot > 0).unwrap_or(name.len());
    let (stem, extension) = name.split_at(dot);
    let suffix = format!(" ({number})");
    let room = MAX_NAME_BYTES.saturating_sub(suffix.len() + extension.len());
    format!("{}{suffix}{extension}", &stem[..stem.floor_char_boundary(room)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> EntryPath {
        EntryPath::new(text.split('/').map(str::to_owned).collect()).unwrap()
    }

    #[test]
    fn an_absolute_path_is_refused() {
        assert!(check_component("/etc/passwd").is_err());
        assert!(check_component("C:\\windows").is_err());
        assert!(EntryPath::new(vec![String::new(), "etc".to_owned()]).is_err());
    }

    #[test]
    fn a_step_upward_is_refused() {
        assert!(check_component("..").is_err());
        assert!(check_component(".").is_err());
        assert!(EntryPath::new(vec!["a".to_owned(), "..".to_owned()]).is_err());
        assert!(check_component("..a").is_ok());
    }

    #[test]
    fn a_separator_is_refused() {
        assert!(check_component("a/b").is_err());
        assert!(check_component("a\\b").is_err());
    }

    #[test]
    fn nul_and_control_characters_are_refused() {
        assert!(check_component("a\0b").unwrap_err().to_string().contains("NUL"));
        assert!(check_component("a\nb").is_err());
        assert!(check_component("a\u{9b}b").is_err());
    }

    #[test]
    fn a_name_over_255_bytes_is_refused() {
        assert!(check_component(&"é".repeat(128)).is_err());
        assert!(check_component(&"é".repeat(127)).is_ok());
    }

    #[test]
    fn a_path_that_is_too_deep_is_refused() {
        assert!(EntryPath::new(vec!["a".to_owned(); MAX_PATH_DEPTH + 1]).is_err());
        assert!(EntryPath::new(vec!["a".to_owned(); MAX_PATH_DEPTH]).is_ok());
    }

    #[test]
    fn a_device_is_made_a_file() {
        for (name, safe) in
            [("NUL", "_NUL"), ("con.txt", "_con.txt"), ("Lpt1 .x", "_Lpt1 .x"), ("cone", "cone")]
        {
            assert_eq!(safe_component(name), safe);
        }
    }

    #[test]
    fn dots_and_spaces_at_the_end_are_made_safe() {
        assert_eq!(safe_component("a."), "a_");
        assert_eq!(safe_component("a. . "), "a____");
        assert_eq!(safe_component("..."), "___");
        assert_eq!(safe_component("a.b"), "a.b");
    }

    #[test]
    fn characters_that_windows_forbids_are_replaced() {
        assert_eq!(safe_component("what: <a|b>?*\""), "what_ _a_b____");
    }

    #[test]
    fn names_that_differ_in_case_only_are_told_apart() {
        let mut names = SafeNames::default();
        assert_eq!(names.path(&path("src/README")), ["src", "README"]);
        assert_eq!(names.path(&path("src/readme")), ["src", "readme (1)"]);
        assert_eq!(names.path(&path("SRC/readme")), ["SRC (1)", "readme"]);
        assert_eq!(names.path(&path("src/readme")), ["src", "readme (1)"]);
        assert_eq!(names.path(&path("src/a.")), ["src", "a_"]);
        assert_eq!(names.path(&path("src/a_")), ["src", "a_ (1)"]);
    }

    #[test]
    fn a_number_stands_before_the_extension_and_the_name_still_fits() {
        assert_eq!(numbered("film.mkv", 1), "film (1).mkv");
        assert_eq!(numbered(".hidden", 2), ".hidden (2)");
        let long = format!("{}.mkv", "x".repeat(251));
        assert_eq!(numbered(&long, 12).len(), 255);
    }

    #[test]
    fn a_link_may_lead_within_the_folder_only() {
        let link = path("a/b/link");
        for inside in ["c", "../c", "../../c/d", "./c", "..", "c/d"] {
            assert!(LinkTarget::new(&link, inside).is_ok(), "{inside}");
        }
        for outside in
            ["/etc", "../../../c", "c/../../../..", "c/..", "", "C:\\x", "\\\\host\\share", "a\0"]
        {
            assert!(LinkTarget::new(&link, outside).is_err(), "{outside}");
        }
        assert!(LinkTarget::new(&path("link"), "..").is_err());
    }
}
