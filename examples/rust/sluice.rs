// SPDX-License-Identifier: Apache-2.0
//! Sluice for an engine in Rust that computes itself and lets the library give out the pages of L1.
//! A start, not all of the API: `ffi` is easily extended.
//!
//! What is safe about it: the pipeline owns L1, so no transfer can touch memory that is gone, also if
//! the pipeline is leaked; devices and stores are borrowed; pages are reached by their request alone,
//! those that were loaded (others may read them too) as shared slices, the rest as exclusive ones.
pub mod ffi;

use std::alloc;
use std::ffi::CStr;
use std::fmt;
use std::marker::PhantomData;
use std::mem::size_of;
use std::os::raw::{c_char, c_int};
use std::os::unix::io::{AsRawFd, RawFd};
use std::ptr;
use std::time::Duration;

/// What went wrong: a code of the C API, for programs, and a text, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub code: i32,
    pub text: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: names are static, and there is one for every number.
        let name = text_of(unsafe { ffi::sluice_status_name(self.code) });
        write!(f, "{}: {}", name, self.text)
    }
}

impl std::error::Error for Error {}

fn text_of(text: *const c_char) -> String {
    // SAFETY: the C API gives texts that end in a zero and are valid until the next such call.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

fn check(code: ffi::sluice_status) -> Result<()> {
    match code {
        ffi::SLUICE_OK => Ok(()),
        // SAFETY: this thread's last call is the one that failed.
        _ => Err(Error { code, text: text_of(unsafe { ffi::sluice_last_error() }) }),
    }
}

fn size_as_u32<T>() -> u32 {
    size_of::<T>() as u32
}

fn invalid(text: &str) -> Error {
    Error { code: ffi::SLUICE_E_INVALID_ARGUMENT, text: text.to_string() }
}

/// The way between L2 and L1, if L1 is host memory.
pub struct Device {
    raw: *mut ffi::sluice_device,
}

impl Device {
    pub fn host() -> Result<Device> {
        let mut raw = ptr::null_mut();
        // SAFETY: no options, and a place for the result.
        check(unsafe { ffi::sluice_device_open_host(ptr::null(), &mut raw) })?;
        Ok(Device { raw })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: handles are checked. Refused, and so leaked, while a leaked pipeline uses it.
        unsafe { ffi::sluice_device_close(self.raw) };
    }
}

/// L3.
pub struct Store {
    raw: *mut ffi::sluice_store,
}

impl Store {
    /// In this process's memory; `capacity` in bytes, 0: 1 GiB.
    pub fn memory(capacity: u64) -> Result<Store> {
        let mut options = ffi::sluice_memory_store_options::zero();
        options.struct_size = size_as_u32::<ffi::sluice_memory_store_options>();
        options.capacity = capacity;
        let mut raw = ptr::null_mut();
        // SAFETY: the options are borrowed for the call.
        check(unsafe { ffi::sluice_store_open_memory(&options, &mut raw) })?;
        Ok(Store { raw })
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // SAFETY: as for a device.
        unsafe { ffi::sluice_store_close(self.raw) };
    }
}

/// L1 as this wrapper lays it out: `regions` areas (say K and V of each layer), each of `pages`
/// pages of `page_bytes` bytes; a page holds `block_tokens` tokens.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    pub regions: usize,
    pub pages: u32,
    pub page_bytes: usize,
    pub block_tokens: u32,
}

/// Memory that the library's threads write: reached by raw pointers, never by one large slice.
struct L1 {
    layout: Layout,
    memory: *mut u8,
    allocated: alloc::Layout,
}

impl L1 {
    fn new(layout: Layout) -> Result<L1> {
        let bytes = layout
            .page_bytes
            .checked_mul(layout.pages as usize)
            .and_then(|region| region.checked_mul(layout.regions))
            .filter(|&bytes| bytes > 0)
            .ok_or_else(|| invalid("a layout without pages, or larger than memory"))?;
        let allocated = alloc::Layout::from_size_align(bytes, 4096)
            .map_err(|_| invalid("a layout larger than memory"))?;
        // SAFETY: not of size zero.
        let memory = unsafe { alloc::alloc_zeroed(allocated) };
        if memory.is_null() {
            alloc::handle_alloc_error(allocated);
        }
        Ok(L1 { layout, memory, allocated })
    }

    fn region(&self, region: usize) -> ffi::sluice_region {
        ffi::sluice_region {
            base: self.page(region, 0) as u64,
            stride: self.layout.page_bytes as u64,
            bytes: self.layout.page_bytes as u64,
            slots: self.layout.pages,
            layer: -1,
        }
    }

    fn page(&self, region: usize, page: u32) -> *mut u8 {
        assert!(region < self.layout.regions && page < self.layout.pages);
        let index = region * self.layout.pages as usize + page as usize;
        // SAFETY: inside the allocation, by the assertion.
        unsafe { self.memory.add(index * self.layout.page_bytes) }
    }
}

impl Drop for L1 {
    fn drop(&mut self) {
        // SAFETY: allocated so, and the pipeline that used it is closed.
        unsafe { alloc::dealloc(self.memory, self.allocated) };
    }
}

/// The name of a block: of its tokens and of all before it.
pub type Key = [u8; 16];

/// A prompt whose cached blocks are to be loaded.
#[derive(Debug, Clone, Copy)]
pub struct Request<'k> {
    /// Of the full blocks of the prompt.
    pub keys: &'k [Key],
    pub prompt_tokens: u64,
    /// Comes back in its events.
    pub user: u64,
}

/// Names a request until it has ended; a stale one is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId(ffi::sluice_request_id);

/// Loads cached blocks, the best request's first. Any thread may use it.
pub struct Pipeline<'a> {
    raw: *mut ffi::sluice_pipeline,
    event_fd: RawFd,
    l1: Option<L1>,
    borrows: PhantomData<(&'a Device, &'a Store)>,
}

// SAFETY: their handles are numbers, and the C API may be called from any thread. Pages are reached
// by `Ready` alone, and no two of them share one that can be written.
unsafe impl Send for Device {}
unsafe impl Sync for Device {}
unsafe impl Send for Store {}
unsafe impl Sync for Store {}
unsafe impl Send for Pipeline<'_> {}
unsafe impl Sync for Pipeline<'_> {}

impl<'a> Pipeline<'a> {
    pub fn open(device: &'a Device, store: &'a Store, layout: Layout) -> Result<Pipeline<'a>> {
        let l1 = L1::new(layout)?;
        let regions: Vec<_> = (0..layout.regions).map(|r| l1.region(r)).collect();
        let mut group = ffi::sluice_group::zero();
        group.regions = regions.as_ptr();
        group.n_regions = layout.regions as u32;
        group.hit_rule = ffi::SLUICE_HIT_ALL_BLOCKS;
        let mut options = ffi::sluice_pipeline_options::zero();
        options.struct_size = size_as_u32::<ffi::sluice_pipeline_options>();
        options.groups = &group;
        options.n_groups = 1;
        options.block_tokens = layout.block_tokens;
        options.device = device.raw;
        options.store = store.raw;
        let mut raw = ptr::null_mut();
        // SAFETY: options, group and regions are borrowed for the call; L1 outlives the pipeline,
        // and so do the device and the store, or they are leaked.
        check(unsafe { ffi::sluice_pipeline_open(&options, &mut raw) })?;
        let mut pipeline = Pipeline { raw, event_fd: -1, l1: Some(l1), borrows: PhantomData };
        // SAFETY: a place for the result.
        check(unsafe { ffi::sluice_event_fd(raw, &mut pipeline.event_fd) })?;
        Ok(pipeline)
    }

    /// Starts loading. The keys are copied.
    pub fn submit(&self, request: &Request<'_>) -> Result<RequestId> {
        let mut r = ffi::sluice_request::zero();
        r.struct_size = size_as_u32::<ffi::sluice_request>();
        r.keys = request.keys.as_ptr().cast();
        r.key_size = size_as_u32::<Key>();
        r.n_keys = u32::try_from(request.keys.len()).map_err(|_| invalid("too many keys"))?;
        r.prompt_tokens = request.prompt_tokens;
        r.user = request.user;
        let mut id = 0;
        // SAFETY: the request and its keys are borrowed for the call.
        check(unsafe { ffi::sluice_submit(self.raw, &r, &mut id) })?;
        Ok(RequestId(id))
    }

    /// Ends a request early; `Event::Cancelled` follows unless it has had its outcome.
    pub fn cancel(&self, request: RequestId) -> Result<()> {
        // SAFETY: ids are checked.
        check(unsafe { ffi::sluice_cancel(self.raw, request.0) })
    }

    /// Takes the events that wait, oldest first. Does not block: `as_raw_fd` is readable while there
    /// are some.
    pub fn poll(&self) -> Result<Vec<Event<'_>>> {
        let mut events = Vec::new();
        loop {
            let mut batch = [ffi::sluice_event::zero(); 16];
            let mut n = 0;
            // SAFETY: room for as many events as said.
            check(unsafe { ffi::sluice_poll(self.raw, batch.as_mut_ptr(), 16, &mut n) })?;
            for event in &batch[..n as usize] {
                events.push(self.event_of(event)?);
            }
            if n < 16 {
                return Ok(events);
            }
        }
    }

    fn event_of(&self, event: &ffi::sluice_event) -> Result<Event<'_>> {
        let user = event.user;
        Ok(match event.kind {
            ffi::SLUICE_EVENT_READY => Event::Ready(Ready::new(self, event)?),
            ffi::SLUICE_EVENT_STORED => Event::Stored { user, blocks: event.blocks },
            ffi::SLUICE_EVENT_CANCELLED => Event::Cancelled { user },
            ffi::SLUICE_EVENT_QUIESCED => Event::Quiesced { user },
            ffi::SLUICE_EVENT_FAILED => Event::Failed {
                user,
                error: Error { code: event.status, text: text_of(event.text) },
            },
            kind => Event::Unknown { user, kind },
        })
    }

    fn page(&self, region: usize, page: u32) -> *mut u8 {
        self.l1.as_ref().expect("taken by drop alone").page(region, page)
    }

    fn layout(&self) -> Layout {
        self.l1.as_ref().expect("taken by drop alone").layout
    }
}

impl AsRawFd for Pipeline<'_> {
    fn as_raw_fd(&self) -> RawFd {
        self.event_fd as c_int
    }
}

impl Drop for Pipeline<'_> {
    /// Waits until no transfer is under way.
    fn drop(&mut self) {
        // SAFETY: handles are checked.
        if unsafe { ffi::sluice_pipeline_close(self.raw) } != ffi::SLUICE_OK {
            std::mem::forget(self.l1.take()); // better lost than written by a transfer
        }
    }
}

/// What has happened. Of `Ready`, `Cancelled` and `Failed` every request gets one.
pub enum Event<'p> {
    /// The first blocks are in L1: compute the rest.
    Ready(Ready<'p>),
    Cancelled {
        user: u64,
    },
    Failed {
        user: u64,
        error: Error,
    },
    /// After `Cancelled` or `Failed`: no transfer is under way for it any more.
    Quiesced {
        user: u64,
    },
    /// So many of the computed blocks are in the store now.
    Stored {
        user: u64,
        blocks: u32,
    },
    /// Of a newer library.
    Unknown {
        user: u64,
        kind: u32,
    },
}

/// A request whose pages are the engine's until this is dropped.
pub struct Ready<'p> {
    pipeline: &'p Pipeline<'p>,
    id: ffi::sluice_request_id,
    user: u64,
    loaded: usize,
    pages: Vec<u32>,
}

impl<'p> Ready<'p> {
    fn new(pipeline: &'p Pipeline<'p>, event: &ffi::sluice_event) -> Result<Ready<'p>> {
        let mut ready = Ready {
            pipeline,
            id: event.request,
            user: event.user,
            loaded: event.blocks as usize,
            pages: vec![0; pipeline.layout().pages as usize],
        };
        let mut n = 0;
        let (out, capacity) = (ready.pages.as_mut_ptr(), pipeline.layout().pages);
        // SAFETY: room for as many pages as there are.
        check(unsafe { ffi::sluice_pages(pipeline.raw, ready.id, out, capacity, &mut n) })?;
        ready.pages.truncate(n as usize);
        Ok(ready)
    }

    pub fn user(&self) -> u64 {
        self.user
    }

    /// How many leading blocks were loaded.
    pub fn loaded_blocks(&self) -> usize {
        self.loaded
    }

    /// How many blocks, the last one perhaps not full, have pages.
    pub fn blocks(&self) -> usize {
        self.pages.len()
    }

    /// A block that was loaded. Panics if it was not.
    pub fn loaded(&self, block: usize, region: usize) -> &[u8] {
        assert!(block < self.loaded, "block {} was not loaded", block);
        let page = self.pipeline.page(region, self.pages[block]);
        // SAFETY: nobody writes a page that is loaded while a request holds it.
        unsafe { std::slice::from_raw_parts(page, self.pipeline.layout().page_bytes) }
    }

    /// Where a block is computed. Panics if it was loaded: others may be reading it.
    pub fn computed(&mut self, block: usize, region: usize) -> &mut [u8] {
        assert!(block >= self.loaded, "block {} was loaded", block);
        let page = self.pipeline.page(region, self.pages[block]);
        // SAFETY: until compute_done, which takes `self`, the page is this request's alone.
        unsafe { std::slice::from_raw_parts_mut(page, self.pipeline.layout().page_bytes) }
    }

    /// All blocks are computed and the first token is there: they go to L2 and to the store. Takes
    /// the pages away; `Event::Stored` tells when they are stored.
    pub fn compute_done(self, took: Duration) -> Result<()> {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // SAFETY: ids are checked.
        check(unsafe { ffi::sluice_compute_done(self.pipeline.raw, self.id, ns) })
    }
}

impl Drop for Ready<'_> {
    fn drop(&mut self) {
        // SAFETY: as above. What is being stored stays in place until it is.
        unsafe { ffi::sluice_release(self.pipeline.raw, self.id) };
    }
}
