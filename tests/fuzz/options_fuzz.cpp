// SPDX-License-Identifier: Apache-2.0

// What an engine may pass to the C API, in the libFuzzer form. The bytes are a program: each step
// is a call, whose options and arguments the bytes choose too, right and wrong ones. What is passed
// by pointer is valid or NULL, as in C nobody can tell. Whatever comes, a call that fails has a
// code and a text, and what was opened can be closed.

#include "fuzz/options_program.hpp"

namespace sluice_test {

void program::step() {
    arguments call;
    call_ = &call;
    switch (in_.below(20)) {
    case 0: {
        sluice_clock clock = SLUICE_CLOCK_INIT;
        clock.flags = rarely(0);
        clock.user = &now_ns_;
        clock.now = [](void* user) { return *static_cast<std::uint64_t*>(user); };
        sluice_loop* made = nullptr;
        const sluice_clock* const given = call.sized(in_, clock);
        // A loop on the machine's clock would be different each time.
        const bool usable = given != nullptr && given->struct_size >= sizeof clock;
        if (loops_.size() < 3 && (usable || given == nullptr || given->struct_size < 4)) {
            if (given != nullptr) {
                keep(sluice_loop_create(given, &made), made, loops_);
            }
        }
        break;
    }
    case 1: open_device(); break;
    case 2: open_store(); break;
    case 3: open_pipeline(); break;
    case 4:
    case 5: submit(); break;
    case 6:
    case 7: {
        std::uint64_t next = 0;
        const std::uint64_t by = in_.number();
        now_ns_ =
            in_.byte() > 200 ? by : now_ns_ + std::min<std::uint64_t>(by, UINT64_MAX - now_ns_);
        sluice_loop* const loop = pick(loops_);
        checked(sluice_loop_run(loop, in_.flag() ? &next : nullptr));
        break;
    }
    case 8:
    case 9: use_request(); break;
    case 10: look(); break;
    case 11: batch(); break;
    case 12: use_batch(); break;
    case 13: change_behaviour(); break;
    case 14:
        switch (in_.below(8)) {
        case 0: close(pipes_, sluice_pipeline_close); break;
        case 1: close(stores_, sluice_store_close); break;
        case 2: close(devices_, sluice_device_close); break;
        case 3: close(loops_, sluice_loop_close); break;
        default: break;
        }
        break;
    case 16: open_planner(); break;
    case 17: export_message(); break;
    case 18: import_message(); break;
    case 19: merge_reports(); break;
    default:
        if (!out_.empty() && in_.byte() < 200) {
            const std::size_t at = in_.below(out_.size());
            const sluice_op op = out_[at];
            out_.erase(out_.begin() + static_cast<std::ptrdiff_t>(at));
            sluice_complete(op, static_cast<sluice_status>(in_.number()));
            must(sluice_complete(op, SLUICE_OK) == SLUICE_E_NOT_FOUND, "an operation ended twice");
        } else {
            // Not a live one by chance: those are the harness's to end.
            checked(sluice_complete(in_.number() | 1ULL << 62, SLUICE_OK));
        }
        break;
    }
    call_ = nullptr;
}

void program::open_device() {
    if (devices_.size() >= 3) {
        return;
    }
    sluice_device* made = nullptr;
    if (in_.flag()) {
        sluice_host_device_options o = SLUICE_HOST_DEVICE_OPTIONS_INIT;
        o.flags = rarely(0);
        o.loop = pick_loop();
        o.bytes_per_second = in_.byte() > 200 ? in_.real() : 0;
        const auto* const given = call_->sized(in_, o);
        if (given != nullptr && given->struct_size >= sizeof o) {  // else it starts a thread
            keep(sluice_device_open_host(given, &made), made, devices_);
        }
        return;
    }
    sluice_device_driver d = device_driver();
    d.flags = rarely(0);
    const std::uint8_t missing = in_.byte();
    d.copy_in = missing == 255 ? nullptr : d.copy_in;
    d.copy_out = missing == 254 ? nullptr : d.copy_out;
    d.register_layout = missing > 128 ? d.register_layout : nullptr;
    if (missing == 253) {
        d.free_pinned = [](void*, void*, std::uint64_t) {};
    }
    if (missing % 8 == 7) {  // gives what is no page, or nothing
        d.free_pinned = [](void*, void*, std::uint64_t) {};
        d.allocate_pinned = [](void* user, std::uint64_t, void** out) {
            *out = (of(user).behave_.number & 1) != 0 ? nullptr : of(user).arena_.data() + 1;
            return of(user).behave_.code;
        };
    }
    keep(sluice_device_open(call_->sized(in_, d), &made), made, devices_, true);
}

void program::open_store() {
    if (stores_.size() >= 3) {
        return;
    }
    sluice_store* made = nullptr;
    switch (in_.below(4)) {
    case 0:
    case 1: {
        sluice_memory_store_options o = SLUICE_MEMORY_STORE_OPTIONS_INIT;
        o.flags = rarely(in_.byte() & 3);
        o.loop = pick_loop();
        o.capacity = limited(in_.number());
        o.bytes_per_second = in_.byte() > 200 ? in_.real() : 0;
        o.latency_ns = in_.byte() > 200 ? in_.number() : 0;
        const auto* const given = call_->sized(in_, o);
        if (given != nullptr &&
            given->struct_size >= offsetof(sluice_memory_store_options, capacity)) {
            keep(sluice_store_open_memory(given, &made), made, stores_);
        }
        break;
    }
    case 2: {
        sluice_store_driver d = store_driver();
        d.flags = rarely(0);
        const std::uint8_t missing = in_.byte();
        d.lookup = missing == 255 ? nullptr : d.lookup;
        d.get = missing == 254 ? nullptr : d.get;
        d.put = missing % 4 == 3 ? nullptr : d.put;
        d.remove = missing % 8 == 5 ? nullptr : d.remove;
        d.abort = missing % 4 == 2 ? nullptr : d.abort;
        d.unregister_memory = missing == 253 ? nullptr : d.unregister_memory;
        keep(sluice_store_open(call_->sized(in_, d), &made), made, stores_, true);
        break;
    }
    default: {
        sluice_fabric_store_options o = SLUICE_FABRIC_STORE_OPTIONS_INIT;
        o.flags = rarely(0);
        o.nodes = text();
        o.secret = in_.flag() ? "too short" : nullptr;  // so that it never comes to connecting
        o.secret_file = in_.flag() ? "/no/such/file" : nullptr;
        o.provider = text();
        o.replicas = rarely(0);
        o.connections = rarely(0);
        o.soft_timeout_ns = in_.number();
        o.bytes_per_second = in_.real();
        keep(sluice_store_open_fabric(call_->sized(in_, o), &made), made, stores_);
        must(made == nullptr, "a fabric store without a secret");
        break;
    }
    }
}

void program::open_pipeline() {
    if (pipes_.size() >= 3) {
        return;
    }
    sluice_pipeline_options o = SLUICE_PIPELINE_OPTIONS_INIT;
    o.flags = rarely(in_.byte() & 7);
    o.device = pick(devices_);
    bool host = false;
    for (const auto& d : devices_) {
        host |= d.handle == o.device && !d.drives;
    }
    o.groups = groups(o.n_groups, host);
    o.store = pick(stores_);
    o.loop = pick_loop();
    const std::uint8_t which = in_.byte();
    o.block_tokens = which & 1 ? static_cast<std::uint32_t>(in_.number()) : 0;
    o.policy = which & 2 ? text() : nullptr;
    o.cost = which & 4 ? text() : nullptr;
    sluice_policy p = policy();
    sluice_cost_model c = cost();
    if (which & 8) {
        p.flags = rarely(in_.byte() & 1);
        p.interval_ns = in_.number();
        p.rank = in_.byte() > 250 ? nullptr : p.rank;
        o.custom_policy = call_->sized(in_, p);
    }
    if (which & 16) {
        c.flags = rarely(0);
        c.predict = in_.byte() > 250 ? nullptr : c.predict;
        o.custom_cost = call_->sized(in_, c);
    }
    if (which & 32) {
        sluice_compute job = SLUICE_COMPUTE_INIT;  // refused: one that runs would be on a thread
        job.flags = rarely(0);
        o.compute = call_->sized(in_, job);
    }
    o.l2_bytes = which & 64 ? std::max<std::uint64_t>(1, limited(in_.number())) : 65536;
    if (which & 128) {
        o.max_requests = static_cast<std::uint32_t>(in_.number());
        o.concurrent_computes = static_cast<std::uint32_t>(in_.number());
        o.reservation = in_.byte() > 250 ? 3 : in_.byte() % 3U;
        o.fetch_operations = static_cast<std::uint32_t>(in_.number());
        o.fetch_bytes = in_.number();
        o.copy_operations = static_cast<std::uint32_t>(in_.number());
        o.write_back_operations = static_cast<std::uint32_t>(in_.number());
        o.copy_bytes = in_.number();
        o.write_back_bytes = in_.number();
        o.write_back_share = in_.real();
        o.quarantine_share = in_.real();
        o.fetch_soft_timeout_ns = in_.number();
        o.fetch_hard_timeout_ns = in_.number();
        o.load_timeout_ns = in_.number();
    }
    const sluice_pipeline_options* const given = call_->sized(in_, o);
    // Short of these it would have threads, or 256 MiB of memory.
    if (given != nullptr && given->struct_size >= 4 && given->struct_size <= 4096 &&
        given->struct_size < offsetof(sluice_pipeline_options, max_requests)) {
        return;
    }
    sluice_pipeline* made = nullptr;
    keep(sluice_pipeline_open(given, &made), made, pipes_);
}

}  // namespace sluice_test

// Memory that nobody has is refused, as by malloc, in place of ending the run.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    sluice_test::program({data, size}).run();
    return 0;
}
