// SPDX-License-Identifier: Apache-2.0
#pragma once

/// \file
/// Every portable header. For examples and a first try: include what you use elsewhere. What needs
/// more than `sluice::sluice` is not here: sluice/fabric.

/// \mainpage
///
/// Sluice makes the loading of cached KV blocks (L3 remote memory, L2 pinned host memory, L1 what
/// compute reads) a part of LLM serving that progresses on its own, ordered by load + compute cost.
///
/// **C**: \ref c, one header.
///
/// **C++**, in the order in which an engine meets it:
/// - sluice::pipeline is what an engine embeds: sluice::pipeline_options, sluice::request_spec,
///   sluice::request_event.
/// - Memory: sluice::layout says what L1 looks like, sluice::block_key names a block.
/// - L3: sluice::store; sluice::memory_store in this process, sluice::fabric_store on memory nodes
///   (sluice::memory_node).
/// - The way to L1 and compute: sluice::device, sluice::host_device; sluice::compute,
///   sluice::compute_thread.
/// - Order and cost: sluice::policy, sluice::policy_registry; sluice::cost_model,
///   sluice::linear_cost_model.
/// - Stages of your own: sluice::block_stage, sluice::coroutine_stage.
/// - Simulation, on a sluice::virtual_loop: sluice::sim::network, sluice::sim::link,
///   sluice::sim::copy_engine, sluice::sim::prefill, sluice::sim::iteration_engine.
/// - Coroutines: sluice::task, sluice::scope, sluice::loop, sluice::thread_loop,
///   sluice::virtual_loop.
/// - What happened: sluice::pipeline_stats, sluice::request_report; sluice::experiment_result and
///   its tables, pages and traces.
///
/// What holds everywhere unless a comment says otherwise (threads, lifetime, errors, time) is in
/// the page Conventions.

#include <sluice/base/bytes.hpp>
#include <sluice/base/checksum.hpp>
#include <sluice/base/clock.hpp>
#include <sluice/base/heap.hpp>
#include <sluice/base/ids.hpp>
#include <sluice/base/rank.hpp>
#include <sluice/base/status.hpp>
#include <sluice/base/version.hpp>

#include <sluice/coro/completion.hpp>
#include <sluice/coro/event.hpp>
#include <sluice/coro/loop.hpp>
#include <sluice/coro/scope.hpp>
#include <sluice/coro/sleep.hpp>
#include <sluice/coro/switch_to.hpp>
#include <sluice/coro/sync_wait.hpp>
#include <sluice/coro/task.hpp>
#include <sluice/coro/thread_loop.hpp>
#include <sluice/coro/virtual_loop.hpp>
#include <sluice/coro/when_all.hpp>

#include <sluice/cost/cost_model.hpp>
#include <sluice/cost/least_squares.hpp>
#include <sluice/cost/linear_cost_model.hpp>
#include <sluice/cost/split.hpp>

#include <sluice/demand/app_prewarmer.hpp>
#include <sluice/demand/app_tracker.hpp>
#include <sluice/demand/application_view.hpp>
#include <sluice/demand/demand_model.hpp>
#include <sluice/demand/kv_prefixes.hpp>
#include <sluice/demand/model_set.hpp>
#include <sluice/demand/need_forecast.hpp>
#include <sluice/demand/prewarm_rule.hpp>
#include <sluice/demand/prewarmer.hpp>
#include <sluice/demand/process_pool.hpp>
#include <sluice/demand/run_record.hpp>
#include <sluice/demand/sample_set.hpp>
#include <sluice/demand/unit_visit.hpp>
#include <sluice/demand/warmable.hpp>
#include <sluice/demand/worker_process.hpp>

#include <sluice/device/device.hpp>
#include <sluice/device/host_device.hpp>

#include <sluice/kv/block_key.hpp>
#include <sluice/kv/block_set.hpp>
#include <sluice/kv/block_table.hpp>
#include <sluice/kv/layout.hpp>
#include <sluice/kv/slot_pool.hpp>

#include <sluice/observe/html_report.hpp>
#include <sluice/observe/json_report.hpp>
#include <sluice/observe/metrics.hpp>
#include <sluice/observe/perfetto.hpp>
#include <sluice/observe/report_page.hpp>
#include <sluice/observe/result.hpp>
#include <sluice/observe/table.hpp>

#include <sluice/pipeline.hpp>

#include <sluice/sched/app_policies.hpp>
#include <sluice/sched/indexed_heap.hpp>
#include <sluice/sched/policies.hpp>
#include <sluice/sched/policy.hpp>
#include <sluice/sched/policy_registry.hpp>
#include <sluice/sched/ready_queue.hpp>
#include <sluice/sched/request_view.hpp>

#include <sluice/sim/copy_engine.hpp>
#include <sluice/sim/iteration_engine.hpp>
#include <sluice/sim/link.hpp>
#include <sluice/sim/network.hpp>
#include <sluice/sim/prefill.hpp>

#include <sluice/stage/await_operation.hpp>
#include <sluice/stage/block_stage.hpp>
#include <sluice/stage/compute.hpp>
#include <sluice/stage/compute_thread.hpp>
#include <sluice/stage/coroutine_stage.hpp>
#include <sluice/stage/operation.hpp>
#include <sluice/stage/rate_limiter.hpp>
#include <sluice/stage/stage.hpp>

#include <sluice/store/memory_store.hpp>
#include <sluice/store/store.hpp>
