//! The colours of all pictures, as red, green, blue.

pub const SURFACE: (u8, u8, u8) = (0xFF, 0xFF, 0xFF);
pub const INK: (u8, u8, u8) = (0x1F, 0x29, 0x37);
pub const MUTED: (u8, u8, u8) = (0x6B, 0x72, 0x80);
pub const GRID: (u8, u8, u8) = (0xE5, 0xE7, 0xEB);
/// For the first, second, ... of several things; colour-blind readers can distinguish them too (Okabe & Ito, 2008).
pub const SERIES: [(u8, u8, u8); 6] = [
    (0x00, 0x72, 0xB2),
    (0xD5, 0x5E, 0x00),
    (0x00, 0x9E, 0x73),
    (0xCC, 0x79, 0xA7),
    (0xE6, 0x9F, 0x00),
    (0x56, 0xB4, 0xE9),
];

/// As SVG writes it.
pub fn hex((red, green, blue): (u8, u8, u8)) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}
