// SPDX-License-Identifier: Apache-2.0
//! An engine's loop in Rust. The same prompts are served twice, each time by a pipeline that begins
//! with nothing: the second time their blocks come from the store, and every byte is checked.
use std::error::Error;
use std::os::raw::{c_int, c_short, c_ulong};
use std::os::unix::io::AsRawFd;
use std::time::Instant;

use sluice::{Device, Event, Key, Layout, Pipeline, Ready, Request, Store};

const LAYOUT: Layout = Layout { regions: 8, pages: 64, page_bytes: 2048, block_tokens: 16 };

#[repr(C)]
struct PollFd {
    fd: c_int,
    events: c_short,
    revents: c_short,
}
const POLLIN: c_short = 1;

extern "C" {
    fn poll(fds: *mut PollFd, n: c_ulong, timeout_ms: c_int) -> c_int;
}

/// A prompt: the names of its full blocks. An engine hashes the tokens of the block and of all
/// before it, so that no two collide.
struct Prompt {
    keys: Vec<Key>,
    tokens: u64,
}

fn prompt(number: u8, blocks: u8) -> Prompt {
    let keys =
        (0..blocks).map(|block| [number, block, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    // Five more tokens than full blocks: something is computed, whatever is loaded.
    Prompt { keys: keys.collect(), tokens: u64::from(blocks) * u64::from(LAYOUT.block_tokens) + 5 }
}

/// The model: KV that depends on the block's tokens, and so on its name, and on the region.
fn kv_byte(key: &Key, region: usize, at: usize) -> u8 {
    (usize::from(key[at % 2]) * 31 + region * 7 + at * 3 + at / 256) as u8
}

/// Checks what was loaded, computes the rest. Returns whether all was right.
fn prefill(ready: &mut Ready<'_>, prompt: &Prompt) -> bool {
    let mut good = true;
    for region in 0..LAYOUT.regions {
        for (block, key) in prompt.keys.iter().enumerate() {
            if block < ready.loaded_blocks() {
                let kv = ready.loaded(block, region).iter().enumerate();
                good &=
                    kv.fold(true, |same, (at, byte)| same & (*byte == kv_byte(key, region, at)));
            } else {
                for (at, byte) in ready.computed(block, region).iter_mut().enumerate() {
                    *byte = kv_byte(key, region, at);
                }
            }
        }
        ready.computed(prompt.keys.len(), region).fill(0xff); // the last block, never full
    }
    good
}

/// Serves all prompts. Returns how many blocks were loaded, when all the others are stored.
fn serve(device: &Device, store: &Store, prompts: &[Prompt]) -> Result<usize, Box<dyn Error>> {
    let pipeline = Pipeline::open(device, store, LAYOUT)?;
    for (number, p) in prompts.iter().enumerate() {
        let request = Request { keys: &p.keys, prompt_tokens: p.tokens, user: number as u64 };
        pipeline.submit(&request)?;
    }
    let (mut waiting, mut loaded, mut to_store) = (prompts.len(), 0, 0);
    while waiting > 0 || to_store > 0 {
        let mut fds = [PollFd { fd: pipeline.as_raw_fd(), events: POLLIN, revents: 0 }];
        // SAFETY: one struct, as said. An engine's own descriptors stand there too.
        unsafe { poll(fds.as_mut_ptr(), 1, -1) };
        for event in pipeline.poll()? {
            match event {
                Event::Ready(mut ready) => {
                    let prompt = &prompts[ready.user() as usize];
                    let begin = Instant::now();
                    if !prefill(&mut ready, prompt) {
                        return Err("what was loaded is not what was computed".into());
                    }
                    waiting -= 1;
                    loaded += ready.loaded_blocks();
                    to_store += 1;
                    ready.compute_done(begin.elapsed())?;
                }
                Event::Stored { .. } => to_store -= 1, // what was computed, if anything was
                Event::Failed { error, .. } => return Err(error.into()),
                Event::Cancelled { user } => return Err(format!("{user} was cancelled").into()),
                Event::Quiesced { .. } | Event::Unknown { .. } => {}
            }
        }
    }
    Ok(loaded)
}

/// Mistakes are answered, not carried out.
fn refuses(device: &Device, store: &Store) -> Result<bool, Box<dyn Error>> {
    let bad = Layout { pages: 0, ..LAYOUT };
    let no_pages = Pipeline::open(device, store, bad).is_err();
    let pipeline = Pipeline::open(device, store, LAYOUT)?;
    let short = Request { keys: &[[7; 16]; 2], prompt_tokens: 31, user: 0 };
    let error = match pipeline.submit(&short) {
        Ok(_) => return Ok(false),
        Err(error) => error,
    };
    println!("two blocks of 31 tokens are refused: {error}");
    let code = sluice::ffi::SLUICE_E_INVALID_ARGUMENT;
    Ok(no_pages && error.code == code && !error.text.is_empty())
}

fn main() -> Result<(), Box<dyn Error>> {
    let device = Device::host()?;
    let store = Store::memory(64 << 20)?;
    let prompts: Vec<Prompt> = (0..5).map(|number| prompt(number, 4 + 2 * number)).collect();
    let blocks: usize = prompts.iter().map(|p| p.keys.len()).sum();
    let first = serve(&device, &store, &prompts)?;
    let second = serve(&device, &store, &prompts)?;
    println!("loaded {first} blocks, then {second} of {blocks}");
    if first != 0 || second != blocks {
        return Err("the second time is not served from the store".into());
    }
    if !refuses(&device, &store)? {
        return Err("a mistake was not refused".into());
    }
    Ok(())
}
