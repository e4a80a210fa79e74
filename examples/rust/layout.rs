// SPDX-License-Identifier: Apache-2.0
//! Fails when `ffi.rs` is not what `sluice/sluice.h` says: sizes and offsets of structs, and numbers.
//! (Functions are compared by the C compiler, in `layout.c`.)
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::os::raw::c_char;
use std::process::ExitCode;

use sluice::ffi;

/// As in layout.c.
#[repr(C)]
struct CEntry {
    name: *const c_char,
    value: i64,
    size: u64,
}

extern "C" {
    static example_rust_layout: CEntry;
    static example_rust_layout_entries: u64;
}

fn of_header() -> BTreeMap<String, (i64, u64)> {
    // SAFETY: layout.c has an array, so long, of names that end in a zero.
    let entries = unsafe {
        std::slice::from_raw_parts(
            std::ptr::addr_of!(example_rust_layout),
            example_rust_layout_entries as usize,
        )
    };
    let name = |e: &CEntry| unsafe { CStr::from_ptr(e.name) }.to_string_lossy().into_owned();
    entries.iter().map(|e| (name(e), (e.value, e.size))).collect()
}

/// Structs whose members do not fill them, and how many bytes they take.
fn unfilled(rust: &BTreeMap<String, (i64, u64)>) -> Vec<(&str, u64)> {
    let members_of = |name: &str| {
        let prefix = format!("{name}.");
        rust.iter().filter(|(n, _)| n.starts_with(&prefix)).map(|(_, (_, size))| size).sum::<u64>()
    };
    let structs = rust.iter().filter(|(name, (_, size))| *size > 0 && !name.contains('.'));
    structs
        .map(|(name, (_, size))| (name.as_str(), *size, members_of(name)))
        .filter(|(_, size, members)| size != members)
        .map(|(name, _, members)| (name, members))
        .collect()
}

fn main() -> ExitCode {
    let header = of_header();
    let mut rust: BTreeMap<_, _> = BTreeMap::new();
    for entry in ffi::structs().into_iter().chain(ffi::constants()) {
        rust.insert(entry.name.replace("r#", ""), (entry.value, entry.size));
    }
    let mut wrong = 0;
    for (name, members) in unfilled(&rust) {
        println!("{name}: its members take {members} bytes: padding could hide a new one");
        wrong += 1;
    }
    for name in header.keys().chain(rust.keys().filter(|name| !header.contains_key(*name))) {
        let (c, r) = (header.get(name), rust.get(name));
        if c != r {
            println!("{name}: (offset or number, size) is {c:?} in the header, {r:?} in ffi.rs");
            wrong += 1;
        }
    }
    println!("{} entries compared, {wrong} wrong", header.len());
    ExitCode::from(u8::from(wrong != 0 || header.is_empty()))
}
