//! A page by itself: no network, no other file, light or dark as the reader's system is.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::picture::{Picture, palette};

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

const STYLE: &str = "
:root{color-scheme:light dark;--page:#f6f7f9;--surface:#fff;--ink:#1f2937;--muted:#6b7280;--line:#e5e7eb;--accent:#0072b2}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}
main{max-width:960px;margin:0 auto;padding:24px 16px 64px}
h1{font-size:1.7rem;line-height:1.2;margin:8px 0 4px}
h2{font-size:1.15rem;margin:0 0 12px}
p{margin:8px 0}
.muted{color:var(--muted)}
section{background:var(--surface);border:1px solid var(--line);border-radius:12px;padding:20px;margin-top:20px}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:12px;margin-top:20px}
.figure{background:var(--surface);border:1px solid var(--line);border-radius:12px;padding:14px 16px}
.figure b{display:block;font-size:1.5rem;line-height:1.25;font-variant-numeric:tabular-nums}
.figure span{color:var(--muted);font-size:.85rem}
.scroll{overflow-x:auto}
.picture svg{display:block;max-width:100%;height:auto}
.picture{overflow-x:auto}
.wide svg{min-width:520px}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:6px 10px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--muted);font-weight:600}
th:first-child,td:first-child,.left{text-align:left}
tr.best td{background:color-mix(in srgb,var(--accent) 12%,transparent);font-weight:600}
code,pre{font:.85rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{margin:0;overflow-x:auto;padding:12px;border-radius:8px;background:var(--page)}
footer{margin-top:28px;color:var(--muted);font-size:.85rem}
a{color:var(--accent)}
";

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
    let style = format!(
        "{STYLE}@media (prefers-color-scheme:dark){{:root{{--page:#0d1117;--surface:#161b22;--ink:#e6edf3;--muted:#9aa4b2;\
         --line:#30363d;--accent:#4aa8e8}}{dark}}}"
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

/// A picture in the page. Those with text do not shrink below where it can be read.
pub fn picture(picture: &Picture) -> Markup {
    let svg = picture.svg.trim_start_matches(|c| c != '<');
    html! { div.picture.wide role="img" aria-label=(picture.alt) { (PreEscaped(svg)) } }
}
