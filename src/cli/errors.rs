//! Errors of the library in the words of the command line: flags for arguments, and commands that help.

use super::flags::is_flag;
use crate::error::{Error, Occupant};
use crate::text::shell;

/// The message of an error.
pub fn explain(error: &Error) -> String {
    match error {
        Error::Argument { name, found, expected } if is_flag(name) => {
            format!("--{} {found}: expected {expected}", name.replace('_', "-"))
        }
        Error::Occupied { path, occupant } => {
            let remedy = match occupant {
                Occupant::Run => format!(
                    "continue it with `densely train --resume {}`, or choose another --out",
                    shell(path)
                ),
                Occupant::Sweep => {
                    "repeat `densely sweep` with its settings to resume it, or choose another directory".to_owned()
                }
                Occupant::OtherSweep(_) => {
                    "repeat it with the same settings, or choose another --out".to_owned()
                }
                Occupant::Process => "wait until it has ended, or choose another --out".to_owned(),
            };
            format!("{error}; {remedy}")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_become_flags() {
        let error = |name| Error::argument(name, "0", "at least 1");
        assert_eq!(explain(&error("batch_size")), "--batch-size 0: expected at least 1");
        assert_eq!(explain(&error("jobs")), "--jobs 0: expected at least 1");
        assert_eq!(explain(&error("params")), "params is 0; expected at least 1");
        let spaced = Error::Occupied { path: "my run".into(), occupant: Occupant::Run };
        assert!(explain(&spaced).contains("`densely train --resume 'my run'`"));
        let occupied = Error::Occupied { path: "r".into(), occupant: Occupant::Run };
        let expected = "r already holds a run; continue it with `densely train --resume r`, or choose another --out";
        assert_eq!(explain(&occupied), expected);
    }
}
