// SPDX-License-Identifier: Apache-2.0
#include "capi_engines.hpp"

#include <time.h>

#include <utility>

#include <sluice/base/status.hpp>

namespace sluice::bench {

namespace {

constexpr std::uint32_t pages_per_request = 2;
constexpr std::uint32_t own_pages[pages_per_request] = {0, 1};  // of the engine
constexpr std::uint64_t l2_bytes = 16 * engine_block_bytes;

time_point monotonic_now() {
    timespec at{};
    ::clock_gettime(CLOCK_MONOTONIC, &at);
    return time_point{duration{at.tv_sec * std::int64_t{1'000'000'000} + at.tv_nsec}};
}

}  // namespace

// ---- C++

absl::StatusOr<std::unique_ptr<cpp_engine>> cpp_engine::open(const engine_setup& s) {
    std::unique_ptr<cpp_engine> e(new cpp_engine);
    e->setup_ = s;
    e->kv_.resize(std::size_t{engine_slots} * engine_block_bytes);
    e->key_ = block_key::from_u64(engine_key);
    if (!s.threads) {
        e->loop_.emplace(monotonic_now());
    }
    loop* const on = s.threads ? nullptr : &*e->loop_;
    auto l1 = layout::create({{{{reinterpret_cast<std::uintptr_t>(e->kv_.data()),
                                 engine_block_bytes, engine_block_bytes, engine_slots, -1}},
                               hit_rule::all_blocks,
                               0}});
    SLUICE_RETURN_IF_ERROR(l1.status());
    e->l1_ = *std::move(l1);
    auto store = memory_store::create({}, on);
    SLUICE_RETURN_IF_ERROR(store.status());
    e->store_ = *std::move(store);
    auto device = host_device::create({}, on);
    SLUICE_RETURN_IF_ERROR(device.status());
    e->device_ = *std::move(device);
    pipeline_options o;
    o.l1 = &*e->l1_;
    o.block_tokens = engine_block_tokens;
    o.owner = s.engine_l1 ? l1_owner::engine : l1_owner::library;
    o.device = e->device_.get();
    o.store = e->store_.get();
    o.l2_bytes = l2_bytes;
    o.cost = std::make_unique<linear_cost_model>(*linear_cost_options::preset("linear"));
    o.control = o.io = on;
    auto pipe = pipeline::create(std::move(o));
    SLUICE_RETURN_IF_ERROR(pipe.status());
    e->pipe_ = *std::move(pipe);
    return e;
}

cpp_engine::~cpp_engine() {
    if (pipe_ && loop_) {
        pipe_->begin_close();
        while (!pipe_->closed() && loop_->run_one()) {
        }
    }
}

absl::Status cpp_engine::submit(id& out) {
    request_spec spec;
    spec.keys = {&key_, 1};
    spec.prompt_tokens = engine_block_tokens + 1;
    spec.resident_blocks = setup_.engine_l1 ? 1 : 0;
    spec.write_back = false;
    const absl::StatusOr<request_handle> made = pipe_->submit(spec);
    if (!made.ok()) {
        return made.status();
    }
    out = *made;
    return setup_.engine_l1 ? pipe_->bind(out, own_pages) : absl::OkStatus();
}

void cpp_engine::run() {
    loop_->run_until(monotonic_now());
    next_due_ = loop_->next_due();
}

// ---- C

absl::StatusOr<std::unique_ptr<c_engine>> c_engine::open(const engine_setup& s) {
    std::unique_ptr<c_engine> e(new c_engine);
    e->setup_ = s;
    e->kv_.resize(std::size_t{engine_slots} * engine_block_bytes);
    SLUICE_RETURN_IF_ERROR(e->open_all());
    return e;
}

absl::Status c_engine::open_all() {
    if (!setup_.threads) {
        SLUICE_RETURN_IF_ERROR(said(sluice_loop_create(nullptr, &loop_)));
    }
    sluice_memory_store_options so = SLUICE_MEMORY_STORE_OPTIONS_INIT;
    so.loop = loop_;
    SLUICE_RETURN_IF_ERROR(said(sluice_store_open_memory(&so, &store_)));
    sluice_host_device_options dev = SLUICE_HOST_DEVICE_OPTIONS_INIT;
    dev.loop = loop_;
    SLUICE_RETURN_IF_ERROR(said(sluice_device_open_host(&dev, &device_)));
    sluice_region region{};
    region.base = reinterpret_cast<std::uintptr_t>(kv_.data());
    region.stride = region.bytes = engine_block_bytes;
    region.slots = engine_slots;
    region.layer = -1;
    sluice_group group{};
    group.regions = &region;
    group.n_regions = 1;
    sluice_pipeline_options o = SLUICE_PIPELINE_OPTIONS_INIT;
    o.flags = setup_.engine_l1 ? SLUICE_PIPELINE_ENGINE_OWNS_L1 : 0;
    o.groups = &group;
    o.n_groups = 1;
    o.block_tokens = engine_block_tokens;
    o.device = device_;
    o.store = store_;
    o.loop = loop_;
    o.l2_bytes = l2_bytes;
    return said(sluice_pipeline_open(&o, &pipe_));
}

c_engine::~c_engine() {
    sluice_pipeline_close(pipe_);
    sluice_device_close(device_);
    sluice_store_close(store_);
    if (loop_ != nullptr) {
        sluice_loop_close(loop_);
    }
}

absl::Status c_engine::submit(id& out) {
    sluice_request r = SLUICE_REQUEST_INIT;
    r.flags = SLUICE_REQUEST_NO_WRITE_BACK;
    r.keys = &engine_key;
    r.key_size = sizeof engine_key;
    r.n_keys = 1;
    r.prompt_tokens = engine_block_tokens + 1;
    r.resident_blocks = setup_.engine_l1 ? 1 : 0;
    if (const sluice_status s = sluice_submit(pipe_, &r, &out); s != SLUICE_OK) {
        return said(s);
    }
    return setup_.engine_l1 ? said(sluice_bind(pipe_, out, own_pages, pages_per_request))
                            : absl::OkStatus();
}

}  // namespace sluice::bench
