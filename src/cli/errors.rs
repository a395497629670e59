//! Errors of the library in the words of the command line: flags for arguments, and commands that help.

use clap::error::ErrorKind;

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
                    "repeat its command to resume it, or choose another directory".to_owned()
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

/// What clap says of the arguments, in one line.
pub fn usage_line(problem: &clap::Error) -> String {
    let text = problem.to_string();
    let lacks_arguments = problem.kind() == ErrorKind::MissingRequiredArgument;
    let lines = text.lines().map(str::trim).filter(|line| {
        let is_usage = line.starts_with("Usage:");
        !(line.is_empty()
            || line.starts_with("For more information")
            || is_usage && !lacks_arguments)
    });
    lines.fold(String::new(), |all, line| {
        let line = line.strip_prefix("error: ").unwrap_or(line);
        let line = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')).unwrap_or(line);
        match all.chars().last() {
            None => line.to_owned(),
            // the arguments that are missing, one below the other
            Some(':') => format!("{all} {line}"),
            Some(_) if line.starts_with('<') => format!("{all} {line}"),
            Some(_) => format!("{all}; {}", line.replacen("Usage:", "usage:", 1)),
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn what_clap_says_is_one_line() {
        let line = |arguments: &[&str]| {
            let arguments = [&["densely"], arguments].concat();
            usage_line(&crate::cli::Cli::try_parse_from(arguments).unwrap_err())
        };
        assert_eq!(
            line(&["predict"]),
            "the following required arguments were not provided: <MODEL> <INPUT>...; usage: densely predict <MODEL> <INPUT>..."
        );
        assert_eq!(
            line(&["trian"]),
            "unrecognized subcommand 'trian'; tip: a similar subcommand exists: 'train'"
        );
        assert_eq!(
            line(&["train", "--init", "best"]),
            "invalid value 'best' for '--init <INIT>'; possible values: auto, he, lecun, glorot, orthogonal, normal"
        );
        assert_eq!(
            line(&["train", "--hidden", "5;6"]),
            "invalid value '5;6' for '--hidden <N,N,...>': `5;6` is no size; expected sizes such as 512,256,128"
        );
    }

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
