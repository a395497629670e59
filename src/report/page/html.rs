//! A page by itself: no network, no other file, light or dark as the reader's system is, for screens and phones.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::palette;
use super::picture::Picture;

/// What the colours of [`palette`] become in dark mode.
const DARK: [((u8, u8, u8), &str); 10] = [
    (palette::SURFACE, "#161b22"),
    (palette::INK, "#e6edf3"),
    (palette::MUTED, "#9aa4b2"),
    (palette::GRID, "#30363d"),
    (palette::SERIES[0], "#4aa8e8"),
    (palette::SERIES[1], "#ff8a3d"),
    (palette::SERIES[2], "#2ecc9b"),
    (palette::SERIES[3], "#e39cc4"),
    (palette::SERIES[4], "#f2b632"),
    (palette::SERIES[5], "#7cc8f2"),
];

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// A whole page.
pub fn page(title: &str, body: &Markup) -> String {
    let dark: String = DARK
        .iter()
        .map(|&(colour, dark)| {
            let light = palette::hex(colour);
            format!(
                "svg [fill=\"{light}\"]{{fill:{dark}}}svg [stroke=\"{light}\"]{{stroke:{dark}}}"
            )
        })
        .collect();
    let colours = |dark: bool| -> String {
        let series = palette::SERIES.iter().enumerate();
        let colour = |colour: (u8, u8, u8)| match DARK.iter().find(|(light, _)| *light == colour) {
            Some((_, dark_colour)) if dark => (*dark_colour).to_owned(),
            _ => palette::hex(colour),
        };
        series.map(|(i, &light)| format!(".c{i}{{color:{}}}", colour(light))).collect()
    };
    let (light_dots, dark_dots) = (colours(false), colours(true));
    let style = format!(
        "{STYLE}{light_dots}@media (prefers-color-scheme:dark){{:root{{--page:#0d1117;--surface:#161b22;--ink:#e6edf3;--muted:#9aa4b2;\
         --line:#30363d;--accent:#4aa8e8}}{dark}{dark_dots}}}"
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(style)) }
            }
            body {
                main {
                    (body)
                    footer { "densely " (env!("CARGO_PKG_VERSION")) " · every picture is beside this file as SVG and PNG" }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// A number with its name.
pub fn figure(name: &str, value: &str) -> Markup {
    html! { div.figure { b { (value) } span { (name) } } }
}

/// A part of a page.
pub fn section(title: &str, body: &Markup) -> Markup {
    html! { section { h2 { (title) } (body) } }
}

/// A picture in the page: the wide one on a screen, the narrow one on a phone.
pub fn picture(picture: &Picture) -> Markup {
    let plain = |svg: &str| svg.trim_start_matches(|c| c != '<').to_owned();
    // what is wider than a phone is scrolled, not shrunk
    let style =
        if picture.scrolls { "<svg style=\"max-width:none\"" } else { "<svg class=\"fit\"" };
    let narrow = plain(&picture.narrow).replacen("<svg", style, 1);
    html! {
        div.picture role="group" aria-label=(picture.alt) {
            div.wide { (PreEscaped(plain(&picture.wide))) }
            div.narrow { (PreEscaped(narrow)) }
        }
    }
}

/// Two views of one thing, of which a reader chooses one.
pub fn choice(name: &str, [first, second]: [(&str, &Markup); 2]) -> Markup {
    let id = |which: &str| format!("{name}-{which}");
    html! {
        div.choice {
            input type="radio" name=(name) id=(id("first")) checked;
            label for=(id("first")) { (first.0) }
            input type="radio" name=(name) id=(id("second"));
            label for=(id("second")) { (second.0) }
            div.first { (first.1) }
            div.second { (second.1) }
        }
    }
}
