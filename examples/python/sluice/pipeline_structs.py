# SPDX-License-Identifier: Apache-2.0
"""The structs of sluice.h about pipelines and what they call, under their names there."""

from __future__ import annotations

from ctypes import (
    CFUNCTYPE,
    POINTER,
    Structure,
    c_char_p,
    c_double,
    c_int32,
    c_uint32,
    c_uint64,
    c_void_p,
)

from .structs import Sized, sluice_clock, sluice_group

# ---- applications


class sluice_app_options(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("prefill_s", c_double),
        ("decode_s", c_double),
        ("load_s", c_double),
        ("interval_ns", c_uint64),
        ("max_apps", c_uint32),
        ("reserved", c_uint32),
    ]


class sluice_app(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("application", c_char_p),
        ("user", c_uint64),
        ("arrival_ns", c_uint64),
        ("deadline_ns", c_uint64),
        ("tenant_weight", c_double),
        ("tenant", c_uint32),
        ("reserved", c_uint32),
    ]


class sluice_unit(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("calls", c_uint32),
        ("unit", c_char_p),
        ("backend", c_char_p),
        ("prompt_tokens", c_uint64),
        ("cached_tokens", c_uint64),
        ("time_ns", c_uint64),
    ]


class sluice_unit_result(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("prompt_tokens", c_uint64),
        ("cached_tokens", c_uint64),
        ("completion_tokens", c_uint64),
        ("max_prompt_tokens", c_uint64),
        ("max_completion_tokens", c_uint64),
        ("seconds", c_double),
        ("time_ns", c_uint64),
    ]


# ---- policy and cost model


class sluice_request_view(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("priority", c_int32),
        ("request", c_uint64),
        ("user", c_uint64),
        ("arrival_ns", c_uint64),
        ("deadline_ns", c_uint64),
        ("tenant", c_uint32),
        ("admitted", c_uint32),
        ("tenant_weight", c_double),
        ("rank", c_double),
        ("prompt_tokens", c_uint64),
        ("load_tokens", c_uint64),
        ("predicted_fetch_s", c_double),
        ("predicted_copy_s", c_double),
        ("predicted_compute_s", c_double),
        ("remaining_fetch_s", c_double),
        ("remaining_copy_s", c_double),
        ("remaining_compute_s", c_double),
        ("attained_fetch_s", c_double),
        ("attained_copy_s", c_double),
        ("attained_compute_s", c_double),
        ("app", c_uint64),
        ("prewarm", c_uint32),
        ("reserved", c_uint32),
    ]


_view = POINTER(sluice_request_view)
rank_function = CFUNCTYPE(c_double, c_void_p, _view, c_uint32, c_uint64)
next_change_function = CFUNCTYPE(c_uint64, c_void_p, _view, c_uint64)
submitted_function = CFUNCTYPE(None, c_void_p, _view, c_uint64)
served_function = CFUNCTYPE(None, c_void_p, _view, c_uint32, c_double)
done_function = CFUNCTYPE(None, c_void_p, _view, c_uint64)


class sluice_policy(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("user", c_void_p),
        ("rank", rank_function),
        ("next_change", next_change_function),
        ("submitted", submitted_function),
        ("served", served_function),
        ("done", done_function),
        ("interval_ns", c_uint64),
    ]


class sluice_demand(Structure):
    _fields_ = [
        ("bytes", c_uint64),
        ("descriptors", c_uint64),
        ("query_tokens", c_uint64),
        ("context_tokens", c_uint64),
    ]


predict_function = CFUNCTYPE(c_double, c_void_p, c_uint32, POINTER(sluice_demand))
observe_function = CFUNCTYPE(None, c_void_p, c_uint32, POINTER(sluice_demand), c_double)
generation_function = CFUNCTYPE(c_uint64, c_void_p)


class sluice_cost_model(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("user", c_void_p),
        ("predict", predict_function),
        ("observe", observe_function),
        ("generation", generation_function),
    ]


# ---- compute


class sluice_compute_job(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("loaded_blocks", c_uint32),
        ("op", c_uint64),
        ("request", c_uint64),
        ("user", c_uint64),
        ("context_tokens", c_uint64),
        ("query_tokens", c_uint64),
        ("pages", POINTER(c_uint32)),
        ("pages_per_group", c_uint32),
        ("reserved", c_uint32),
    ]


run_function = CFUNCTYPE(c_int32, c_void_p, POINTER(sluice_compute_job))


class sluice_compute(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("user", c_void_p),
        ("run", run_function),
    ]


# ---- pipeline


class sluice_pipeline_options(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("groups", POINTER(sluice_group)),
        ("n_groups", c_uint32),
        ("block_tokens", c_uint32),
        ("device", c_void_p),
        ("store", c_void_p),
        ("loop", c_void_p),
        ("policy", c_char_p),
        ("custom_policy", POINTER(sluice_policy)),
        ("cost", c_char_p),
        ("custom_cost", POINTER(sluice_cost_model)),
        ("compute", POINTER(sluice_compute)),
        ("l2_bytes", c_uint64),
        ("max_requests", c_uint32),
        ("concurrent_computes", c_uint32),
        ("reservation", c_uint32),
        ("fetch_operations", c_uint32),
        ("fetch_bytes", c_uint64),
        ("copy_operations", c_uint32),
        ("write_back_operations", c_uint32),
        ("copy_bytes", c_uint64),
        ("write_back_bytes", c_uint64),
        ("write_back_share", c_double),
        ("quarantine_share", c_double),
        ("fetch_soft_timeout_ns", c_uint64),
        ("fetch_hard_timeout_ns", c_uint64),
        ("load_timeout_ns", c_uint64),
        ("apps", POINTER(sluice_app_options)),
    ]


class sluice_request(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("keys", c_char_p),
        ("key_size", c_uint32),
        ("n_keys", c_uint32),
        ("prompt_tokens", c_uint64),
        ("user", c_uint64),
        ("pages", c_uint32),
        ("resident_blocks", c_uint32),
        ("max_load_blocks", c_uint32),
        ("min_query_tokens", c_uint32),
        ("priority", c_int32),
        ("tenant", c_uint32),
        ("tenant_weight", c_double),
        ("rank", c_double),
        ("arrival_ns", c_uint64),
        ("deadline_ns", c_uint64),
        ("load_timeout_ns", c_uint64),
        ("app", c_uint64),
    ]


class sluice_progress(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("looked_up", c_uint32),
        ("hit_blocks", c_uint32),
        ("planned_blocks", c_uint32),
        ("fetching_blocks", c_uint32),
        ("loading_blocks", c_uint32),
        ("predicted_fetch_s", c_double),
        ("predicted_copy_s", c_double),
        ("predicted_compute_s", c_double),
    ]


class sluice_event(Structure):
    _fields_ = [
        ("request", c_uint64),
        ("user", c_uint64),
        ("kind", c_uint32),
        ("flags", c_uint32),
        ("blocks", c_uint32),
        ("status", c_int32),
        ("text", c_char_p),
    ]


class sluice_report(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("hit_blocks", c_uint32),
        ("planned_blocks", c_uint32),
        ("loaded_blocks", c_uint32),
        ("arrival_ns", c_uint64),
        ("looked_up_ns", c_uint64),
        ("first_fetch_ns", c_uint64),
        ("fetched_ns", c_uint64),
        ("granted_ns", c_uint64),
        ("first_copy_ns", c_uint64),
        ("loaded_ns", c_uint64),
        ("compute_begin_ns", c_uint64),
        ("first_token_ns", c_uint64),
        ("predicted_fetch_s", c_double),
        ("predicted_copy_s", c_double),
        ("predicted_compute_s", c_double),
        ("attained_fetch_s", c_double),
        ("attained_copy_s", c_double),
        ("attained_compute_s", c_double),
        ("bytes_fetched", c_uint64),
        ("bytes_deduplicated", c_uint64),
    ]


class sluice_stats(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("live_requests", c_uint32),
        ("submitted", c_uint64),
        ("outcomes", c_uint64),
        ("fetched_bytes", c_uint64),
        ("copied_bytes", c_uint64),
        ("copied_out_bytes", c_uint64),
        ("put_bytes", c_uint64),
        ("fetch_busy_ns", c_uint64),
        ("copy_busy_ns", c_uint64),
        ("compute_busy_ns", c_uint64),
        ("bytes_deduplicated", c_uint64),
        ("l1_hits", c_uint64),
        ("l2_hits", c_uint64),
        ("blocks_missed", c_uint64),
        ("blocks_corrupt", c_uint64),
        ("blocks_failed", c_uint64),
        ("soft_timeouts", c_uint64),
        ("hard_timeouts", c_uint64),
        ("stored_blocks", c_uint64),
        ("store_drops", c_uint64),
        ("policy_faults", c_uint64),
        ("cost_faults", c_uint64),
        ("l2_slots", c_uint32),
        ("l2_free", c_uint32),
        ("l2_cold", c_uint32),
        ("l2_quarantined", c_uint32),
        ("store_dead", c_uint32),
        ("reserved", c_uint32),
        ("fetch_error", c_double),
        ("copy_error", c_double),
        ("compute_error", c_double),
        ("prewarm_requests", c_uint64),
        ("prewarmed_blocks", c_uint64),
        ("apps_begun", c_uint64),
        ("apps_ended", c_uint64),
        ("app_events_refused", c_uint64),
    ]


# ---- split engines


class sluice_planner_options(Sized):
    _fields_ = [
        ("struct_size", c_uint32),
        ("flags", c_uint32),
        ("workers", c_uint32),
        ("n_groups", c_uint32),
        ("block_tokens", c_uint32),
        ("max_requests", c_uint32),
        ("pages", c_uint32),
        ("block_pieces", c_uint32),
        ("block_bytes", c_uint64),
        ("policy", c_char_p),
        ("custom_policy", POINTER(sluice_policy)),
        ("cost", c_char_p),
        ("custom_cost", POINTER(sluice_cost_model)),
        ("clock", POINTER(sluice_clock)),
        ("apps", POINTER(sluice_app_options)),
    ]
