//! Named sets of settings that are known to do well together.
//!
//! A preset holds nothing that its settings could not say one by one: what is kept of a run are the settings, not the name.
//! So a run stays as it is when the settings of its preset are changed here.

use toml::Value;

use super::TrainConfig;
use super::setting::{Configuration as _, SettingValue, UNSET};
use crate::error::{Error, Result};

/// A named set of settings.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Preset {
    /// What `--preset` calls it.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// Keys of [`TrainConfig`], each with its value as on the command line.
    pub settings: &'static [(&'static str, &'static str)],
    /// The values that some of them have instead where numbers are learned.
    pub numbers: &'static [(&'static str, &'static str)],
    /// Settings of how a table is read, such as `scale`, which [`TrainConfig`] does not have: [`crate::data::prepare::TableOptions`] does.
    pub data: &'static [(&'static str, &'static str)],
}

static PRESETS: [Preset; 4] = [
    Preset {
        name: "noise",
        about: "batch norm and Gaussian noise: for data whose inputs have no spatial order",
        source: "Pezeshki et al., 2016, arXiv 1511.06430; the network of Rasmus et al., 2015, arXiv 1507.02672",
        settings: &[
            ("hidden", "1000,500,250,250,250"),
            ("activations", "relu"),
            ("norm", "batch"),
            ("norm_gain", "off"),
            ("clean_statistics", "on"),
            ("input_noise", "0.3"),
            ("noise", "0.5"),
            ("lr", "0.002"),
            ("schedule", "linear:0.67"),
            ("batch_size", "100"),
            ("epochs", "150"),
        ],
        numbers: &[],
        data: &[],
    },
    Preset {
        name: "distort",
        about: "the same network on distorted images",
        source: "Simard et al., 2003; Cireşan et al., 2010, arXiv 1003.0358",
        settings: &[
            ("hidden", "1000,500,250,250,250"),
            ("activations", "relu"),
            ("augment", "affine,elastic"),
            ("norm", "batch"),
            ("lr", "0.002"),
            ("schedule", "cosine"),
            ("batch_size", "100"),
            ("epochs", "120"),
        ],
        numbers: &[],
        data: &[],
    },
    Preset {
        name: "quick",
        about: "a small network: about 98 % on MNIST in about a second",
        source: "found by trials, docs/accuracy.md",
        settings: &[
            ("hidden", "256"),
            ("lr", "0.005"),
            ("schedule", "linear"),
            ("batch_size", "128"),
            ("epochs", "3"),
        ],
        numbers: &[],
        data: &[],
    },
    Preset {
        name: "tabular-s",
        about: "RealMLP-TD-S: settings for tables that need no tuning",
        source: "Holzmüller et al., 2024, arXiv 2407.04491, and their package pytabkit",
        settings: &[
            ("hidden", "256,256,256"),
            ("activations", "selu"),
            ("init", "normal"),
            ("input_scales", "6"),
            ("lr", "0.04"),
            ("ntk_rates", "on"),
            ("bias_rate", "0.1"),
            ("beta2", "0.95"),
            ("weight_decay", "0"),
            ("schedule", "log-cosine"),
            ("batch_size", "256"),
            ("epochs", "256"),
            ("patience", "none"),
            ("latest_best", "on"),
            ("label_smoothing", "0.1"),
        ],
        numbers: &[("activations", "mish"), ("lr", "0.07"), ("label_smoothing", "0")],
        data: &[("scale", "smooth")],
    },
];

impl Preset {
    /// All presets.
    pub fn all() -> &'static [Self] {
        &PRESETS
    }

    /// The preset of a name.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is none, with the names that there are.
    pub fn find(name: &str) -> Result<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name).ok_or_else(|| {
            Error::argument("preset", name, format!("one of {}", Self::names().join(", ")))
        })
    }

    /// Gives a configuration with this preset what numbers want instead, of the settings that `wants` names.
    ///
    /// # Errors
    /// None for the presets of densely.
    pub fn adapt_to_numbers(
        &self,
        config: &mut TrainConfig,
        wants: impl Fn(&str) -> bool,
    ) -> Result<()> {
        self.numbers.iter().filter(|(key, _)| wants(key)).try_for_each(|&(key, value)| {
            let setting = TrainConfig::setting(key).ok_or_else(|| unknown(key))?;
            setting.set_from(config, value.into())
        })
    }

    /// What can be written for a preset, also for none.
    fn names() -> Vec<&'static str> {
        std::iter::once(UNSET).chain(PRESETS.iter().map(|preset| preset.name)).collect()
    }
}

impl TrainConfig {
    /// Gives it the settings of a preset, instead of those that it had: those for classes. [`Preset::adapt_to_numbers`] makes them those for numbers; [`Preset::data`] says how a
    /// table is to be read.
    ///
    /// ```
    /// use densely::train::TrainConfig;
    ///
    /// let config = TrainConfig::default().with_preset("quick")?.with(|c| c.seed = 7);
    /// assert_eq!((&config.hidden[..], config.epochs), (&[256][..], 3));
    /// # Ok::<(), densely::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Preset::find`].
    pub fn with_preset(mut self, name: &str) -> Result<Self> {
        for &(key, value) in Preset::find(name)?.settings {
            let setting = Self::setting(key).ok_or_else(|| unknown(key))?;
            setting.set_from(&mut self, value.into())?;
        }
        Ok(self)
    }
}

fn unknown(key: &str) -> Error {
    Error::usage(format!("no `{key}`"))
}

impl SettingValue for &'static Preset {
    fn choices() -> Vec<&'static str> {
        Preset::names()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("`{text}`: expected one of {}", Preset::names().join(", "));
        Preset::find(text.trim()).map_err(|_| expected())
    }

    fn text(&self) -> String {
        self.name.to_owned()
    }

    fn to_value(&self) -> Option<Value> {
        Some(self.name.into())
    }

    fn from_value(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Self::parse(&text),
            other => Err(format!("found {other}, expected a name")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_possible_settings() {
        for preset in Preset::all() {
            assert!(!preset.about.is_empty() && !preset.source.is_empty());
            let config = TrainConfig::default().with_preset(preset.name).unwrap();
            config.check().unwrap();
            config.spec(784, 10).unwrap();
            for &(key, value) in preset.settings {
                let setting = TrainConfig::setting(key).unwrap();
                let text = |value: &'static str| if value == UNSET { "" } else { value };
                assert_eq!((setting.text)(&config), text(value), "{}: {key}", preset.name);
                // a sweep sees one value too, not a list of several
                let values = setting.several(value.into()).unwrap();
                assert_eq!(values, [setting.value(&config)], "{}: {key}", preset.name);
                // where numbers are learned, some have another value
                let mut numbers = config.clone();
                preset.adapt_to_numbers(&mut numbers, |_| true).unwrap();
                numbers.check().unwrap();
                let of_numbers = preset.numbers.iter().find(|(other, _)| *other == key);
                let expected = of_numbers.map_or(value, |(_, value)| value);
                assert_eq!((setting.text)(&numbers), text(expected), "{}: {key}", preset.name);
                // the folds of a cross-validation are its split
                assert_ne!(key, "split");
            }
        }
    }

    #[test]
    fn only_what_a_preset_names_changes() {
        let before = TrainConfig::default().with(|c| (c.seed, c.lr, c.epochs) = (9, 0.5, 7));
        let after = before.clone().with_preset("quick").unwrap();
        assert_eq!((after.seed, after.lr, after.epochs), (9, 0.005, 3));
        let keys: Vec<&str> = TrainConfig::SETTINGS
            .iter()
            .filter(|setting| (setting.get)(&before) != (setting.get)(&after))
            .map(|setting| setting.key)
            .collect();
        assert_eq!(keys, ["hidden", "lr", "schedule", "batch_size", "epochs"]);
    }

    #[test]
    fn an_unknown_name_lists_the_presets() {
        let message = Preset::find("nose").unwrap_err().to_string();
        assert_eq!(
            message,
            "preset is nose; expected one of none, noise, distort, quick, tabular-s"
        );
    }
}
