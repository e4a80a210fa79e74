// SPDX-License-Identifier: Apache-2.0
//! `sluice/sluice.h` as Rust sees it: the part that `Pipeline` uses. What each thing means stands
//! there. `layout.rs` compares every size, offset and number with the header's.
#![allow(non_camel_case_types)]

use std::os::raw::{c_char, c_int, c_void};

/// A line of the comparison: a struct, a member of one, or a constant.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    /// An offset, or a constant's number.
    pub value: i64,
    /// 0 for a constant.
    pub size: u64,
}

/// Structs, and what is known of them.
macro_rules! c_structs {
    ($($name:ident { $($field:ident: $type:ty,)* })*) => {
        $(
            #[repr(C)]
            #[derive(Clone, Copy)]
            pub struct $name {
                $(pub $field: $type,)*
            }

            impl $name {
                /// A zero in a member is the default.
                pub fn zero() -> Self {
                    // SAFETY: numbers, raw pointers and optional functions may all be zero.
                    unsafe { std::mem::zeroed() }
                }
            }
        )*

        pub fn structs() -> Vec<Entry> {
            let mut entries = Vec::new();
            $({
                let zero = $name::zero();
                entries.push(Entry {
                    name: stringify!($name).to_string(),
                    value: 0,
                    size: std::mem::size_of::<$name>() as u64,
                });
                $(entries.push(Entry {
                    name: concat!(stringify!($name), ".", stringify!($field)).to_string(),
                    value: std::ptr::addr_of!(zero.$field) as i64 - std::ptr::addr_of!(zero) as i64,
                    size: std::mem::size_of_val(&zero.$field) as u64,
                });)*
            })*
            entries
        }
    };
}

macro_rules! c_constants {
    ($($name:ident: $type:ty = $value:expr;)*) => {
        $(pub const $name: $type = $value;)*

        pub fn constants() -> Vec<Entry> {
            vec![$(Entry { name: stringify!($name).to_string(), value: $name as i64, size: 0 },)*]
        }
    };
}

pub type sluice_status = i32;
pub type sluice_request_id = u64;

/// Handles: numbers in a pointer's clothes.
#[repr(C)]
pub struct sluice_loop {
    _private: [u8; 0],
}
#[repr(C)]
pub struct sluice_device {
    _private: [u8; 0],
}
#[repr(C)]
pub struct sluice_store {
    _private: [u8; 0],
}
#[repr(C)]
pub struct sluice_pipeline {
    _private: [u8; 0],
}

c_constants! {
    SLUICE_OK: sluice_status = 0;
    SLUICE_E_INVALID_ARGUMENT: sluice_status = -1;
    SLUICE_E_NOT_FOUND: sluice_status = -2;
    SLUICE_E_RESOURCE_EXHAUSTED: sluice_status = -5;

    SLUICE_EVENT_READY: u32 = 2;
    SLUICE_EVENT_CANCELLED: u32 = 5;
    SLUICE_EVENT_FAILED: u32 = 6;
    SLUICE_EVENT_QUIESCED: u32 = 7;
    SLUICE_EVENT_STORED: u32 = 8;

    SLUICE_HIT_ALL_BLOCKS: u32 = 0;
}

c_structs! {
    sluice_region {
        base: u64,
        stride: u64,
        bytes: u64,
        slots: u32,
        layer: i32,
    }

    sluice_group {
        regions: *const sluice_region,
        n_regions: u32,
        hit_rule: u32,
        last_n: u32,
        reserved: u32,
    }

    sluice_memory_store_options {
        struct_size: u32,
        flags: u32,
        r#loop: *mut sluice_loop,
        capacity: u64,
        bytes_per_second: f64,
        latency_ns: u64,
    }

    sluice_pipeline_options {
        struct_size: u32,
        flags: u32,
        groups: *const sluice_group,
        n_groups: u32,
        block_tokens: u32,
        device: *mut sluice_device,
        store: *mut sluice_store,
        r#loop: *mut sluice_loop,
        policy: *const c_char,
        custom_policy: *const c_void,
        cost: *const c_char,
        custom_cost: *const c_void,
        compute: *const c_void,
        l2_bytes: u64,
        max_requests: u32,
        concurrent_computes: u32,
        reservation: u32,
        fetch_operations: u32,
        fetch_bytes: u64,
        copy_operations: u32,
        write_back_operations: u32,
        copy_bytes: u64,
        write_back_bytes: u64,
        write_back_share: f64,
        quarantine_share: f64,
        fetch_soft_timeout_ns: u64,
        fetch_hard_timeout_ns: u64,
        load_timeout_ns: u64,
        apps: *const c_void,
    }

    sluice_request {
        struct_size: u32,
        flags: u32,
        keys: *const c_void,
        key_size: u32,
        n_keys: u32,
        prompt_tokens: u64,
        user: u64,
        pages: u32,
        resident_blocks: u32,
        max_load_blocks: u32,
        min_query_tokens: u32,
        priority: i32,
        tenant: u32,
        tenant_weight: f64,
        rank: f64,
        arrival_ns: u64,
        deadline_ns: u64,
        load_timeout_ns: u64,
        app: u64,
    }

    sluice_event {
        request: sluice_request_id,
        user: u64,
        kind: u32,
        flags: u32,
        blocks: u32,
        status: sluice_status,
        text: *const c_char,
    }
}

#[link(name = "sluice")]
extern "C" {
    pub fn sluice_status_name(status: sluice_status) -> *const c_char;
    pub fn sluice_last_error() -> *const c_char;

    pub fn sluice_device_open_host(
        options: *const c_void,
        out: *mut *mut sluice_device,
    ) -> sluice_status;
    pub fn sluice_device_close(device: *mut sluice_device) -> sluice_status;

    pub fn sluice_store_open_memory(
        options: *const sluice_memory_store_options,
        out: *mut *mut sluice_store,
    ) -> sluice_status;
    pub fn sluice_store_close(store: *mut sluice_store) -> sluice_status;

    pub fn sluice_pipeline_open(
        options: *const sluice_pipeline_options,
        out: *mut *mut sluice_pipeline,
    ) -> sluice_status;
    pub fn sluice_pipeline_close(pipeline: *mut sluice_pipeline) -> sluice_status;

    pub fn sluice_submit(
        pipeline: *mut sluice_pipeline,
        request: *const sluice_request,
        out: *mut sluice_request_id,
    ) -> sluice_status;
    pub fn sluice_cancel(
        pipeline: *mut sluice_pipeline,
        request: sluice_request_id,
    ) -> sluice_status;
    pub fn sluice_release(
        pipeline: *mut sluice_pipeline,
        request: sluice_request_id,
    ) -> sluice_status;
    pub fn sluice_compute_done(
        pipeline: *mut sluice_pipeline,
        request: sluice_request_id,
        compute_ns: u64,
    ) -> sluice_status;
    pub fn sluice_pages(
        pipeline: *mut sluice_pipeline,
        request: sluice_request_id,
        out: *mut u32,
        capacity: u32,
        out_n: *mut u32,
    ) -> sluice_status;

    pub fn sluice_event_fd(pipeline: *mut sluice_pipeline, out_fd: *mut c_int) -> sluice_status;
    pub fn sluice_poll(
        pipeline: *mut sluice_pipeline,
        out: *mut sluice_event,
        capacity: u32,
        out_n: *mut u32,
    ) -> sluice_status;
}
