// SPDX-License-Identifier: Apache-2.0

// What an engine may pass to the C API, in the libFuzzer form. The bytes are a program: each step
// is a call, whose options and arguments the bytes choose too, right and wrong ones. What is passed
// by pointer is valid or NULL, as in C nobody can tell. Whatever comes, a call that fails has a
// code and a text, and what was opened can be closed.

#include <sluice/sluice.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz/options_input.hpp"

namespace {

using sluice_test::arguments;
using sluice_test::choices;

void must(bool holds, const char* what) {
    if (!holds) {
        std::fprintf(stderr, "options_fuzz: %s (last error: %s)\n", what, sluice_last_error());
        std::abort();
    }
}

/// A code of the API; a failure has a text.
sluice_status checked(sluice_status s) {
    must(s == SLUICE_OK || s < 0, "a call returned what is no code");
    must(std::strcmp(sluice_status_name(s), "SLUICE_E_?") != 0, "a code without a name");
    must(s == SLUICE_OK || std::strlen(sluice_last_error()) > 0, "a failure without a text");
    return s;
}

/// What callbacks do; one for all of them, as the fuzzer says what that is.
struct behaviour {
    sluice_status code = SLUICE_OK;
    std::uint64_t number = 0;
    double real = 0;
    bool keep = false;  ///< operations end later, by a step of their own
    bool call_back = false;
};

constexpr std::size_t arena_bytes = std::size_t{1} << 16;
constexpr std::uint64_t most_memory = std::uint64_t{1} << 20;    // that the harness lets be used
constexpr std::uint64_t absurd_memory = std::uint64_t{1} << 50;  // which nobody has

class program {
 public:
    explicit program(std::span<const std::uint8_t> bytes)
        : in_(bytes), arena_(arena_bytes, std::byte{0}) {}

    void run() {
        for (int steps = 0; !in_.empty() && steps < 64; ++steps) {
            step();
        }
        close_all();
    }

 private:
    template <class Handle>
    struct opened {
        Handle* handle = nullptr;
        bool drives = false;  ///< callbacks of ours carry it out
    };

    // ---- handles

    /// A live handle mostly; else one that names nothing.
    template <class Handle>
    Handle* pick(const std::vector<opened<Handle>>& from) {
        const std::uint8_t b = in_.byte();
        return b >= 250 || from.empty() ? junk<Handle>() : from[b % from.size()].handle;
    }
    template <class Handle>
    Handle* junk() {
        const std::uint8_t b = in_.byte();
        const std::uintptr_t names[] = {0, UINTPTR_MAX, 1,
                                        reinterpret_cast<std::uintptr_t>(arena_.data()),
                                        stale_[b % stale_.size()]};
        return reinterpret_cast<Handle*>(names[b % std::size(names)]);
    }
    /// As above, but never NULL, which stands for threads.
    sluice_loop* pick_loop() {
        sluice_loop* const l = pick(loops_);
        return l != nullptr ? l : reinterpret_cast<sluice_loop*>(1);
    }
    /// Batches of a driver's store would be on a thread, and its callbacks with them.
    sluice_store* batch_store() {
        sluice_store* const s = pick(stores_);
        return std::ranges::any_of(stores_,
                                   [s](const auto& o) { return o.handle == s && o.drives; })
                   ? nullptr
                   : s;
    }
    template <class Handle>
    void keep(sluice_status s, Handle* const& made, std::vector<opened<Handle>>& to,
              bool drives = false) {
        must((checked(s) == SLUICE_OK) == (made != nullptr), "a handle without success");
        if (made != nullptr) {
            to.push_back({made, drives});
        }
    }
    template <class Handle>
    void close(std::vector<opened<Handle>>& from, sluice_status (*how)(Handle*)) {
        finish_operations();
        if (from.empty() || in_.byte() >= 250) {
            checked(how(junk<Handle>()));
            return;
        }
        const std::size_t at = in_.below(from.size());
        Handle* const h = from[at].handle;
        const sluice_status s = checked(how(h));
        must(s == SLUICE_OK || s == SLUICE_E_FAILED_PRECONDITION, "a live handle was not closed");
        if (s == SLUICE_OK) {
            must(how(h) == SLUICE_E_NOT_FOUND, "a handle was closed twice");
            stale_[from.size() % stale_.size()] = reinterpret_cast<std::uintptr_t>(h);
            from.erase(from.begin() + static_cast<std::ptrdiff_t>(at));
        }
    }
    void close_all() {
        behave_.keep = false;
        behave_.call_back = false;
        finish_operations();
        for (const auto& p : pipes_) {
            must(sluice_pipeline_close(p.handle) == SLUICE_OK, "a pipeline stays");
        }
        for (const auto& s : stores_) {
            must(sluice_store_close(s.handle) == SLUICE_OK, "a store stays");
        }
        for (const auto& d : devices_) {
            must(sluice_device_close(d.handle) == SLUICE_OK, "a device stays");
        }
        for (const auto& l : loops_) {
            must(sluice_loop_close(l.handle) == SLUICE_OK, "a loop stays");
        }
    }

    // ---- callbacks

    static program& of(void* user) noexcept { return *static_cast<program*>(user); }

    void end_or_keep(sluice_op op) {
        if (behave_.keep && out_.size() < 4096) {
            out_.push_back(op);
        } else {
            sluice_complete(op, behave_.code);
        }
        call_back();
    }
    void finish_operations() {
        behave_.keep = false;
        while (!out_.empty()) {
            const sluice_op op = out_.back();
            out_.pop_back();
            sluice_complete(op, behave_.code);
        }
    }
    // Callbacks may call what does not close; what does is refused.
    void call_back() {
        if (!behave_.call_back || std::exchange(calling_back_, true)) {
            return;
        }
        if (!pipes_.empty()) {
            sluice_pipeline* const p = pipes_.front().handle;
            std::uint32_t n = 0;
            sluice_event events[2];
            sluice_stats stats = SLUICE_STATS_INIT;
            sluice_progress progress = SLUICE_PROGRESS_INIT;
            sluice_request_id id = 0;
            checked(sluice_poll(p, events, 2, &n));
            checked(sluice_pipeline_stats(p, &stats));
            checked(sluice_query(p, last_id_, &progress));
            checked(sluice_sort(p, &last_id_, 1));
            checked(sluice_next_ready(p, &id));
            checked(sluice_cancel(p, last_id_));
            must(sluice_pipeline_close(p) != SLUICE_OK, "closed inside a callback");
        }
        if (!loops_.empty()) {
            checked(sluice_loop_run(loops_.front().handle, nullptr));
        }
        calling_back_ = false;
    }

    sluice_store_driver store_driver() {
        sluice_store_driver d = SLUICE_STORE_DRIVER_INIT;
        d.user = this;
        d.lookup = [](void* user, const sluice_keys* keys) {
            if (keys->n > 0) {
                std::memset(keys->present, static_cast<int>(of(user).behave_.number & 0xff),
                            keys->n);
            }
            of(user).end_or_keep(keys->op);
        };
        d.get = [](void* user, const sluice_transfer* t, std::uint32_t n) {
            for (std::uint32_t i = 0; i < n; ++i) {
                std::memset(t[i].memory, t[i].key_size > 0 ? 7 : 8, t[i].bytes);
                of(user).end_or_keep(t[i].op);
            }
        };
        d.put = [](void* user, const sluice_transfer* t, std::uint32_t n) {
            for (std::uint32_t i = 0; i < n; ++i) {
                of(user).end_or_keep(t[i].op);
            }
        };
        d.remove = [](void* user, const sluice_keys* keys) { of(user).end_or_keep(keys->op); };
        d.abort = [](void* user, sluice_op op) { sluice_complete(op, of(user).behave_.code); };
        d.register_memory = [](void* user, void*, std::uint64_t) {
            of(user).call_back();
            return of(user).behave_.code;
        };
        d.unregister_memory = [](void*, void*, std::uint64_t) {};
        return d;
    }
    sluice_device_driver device_driver() {
        sluice_device_driver d = SLUICE_DEVICE_DRIVER_INIT;
        d.user = this;
        d.register_layout = [](void* user, const sluice_group*, std::uint32_t) {
            of(user).call_back();
            return of(user).behave_.code;
        };
        d.copy_in = d.copy_out = [](void* user, const sluice_copy* c, std::uint32_t n) {
            for (std::uint32_t i = 0; i < n; ++i) {
                must(c[i].host != nullptr && c[i].group != nullptr, "a copy of nothing");
                of(user).end_or_keep(c[i].op);
            }
        };
        return d;
    }
    sluice_policy policy() {
        sluice_policy p = SLUICE_POLICY_INIT;
        p.user = this;
        p.rank = [](void* user, const sluice_request_view* v, std::uint32_t, std::uint64_t) {
            of(user).last_id_ = v->request;
            of(user).call_back();
            return of(user).behave_.real;
        };
        p.next_change = [](void* user, const sluice_request_view*, std::uint64_t now) {
            return now + of(user).behave_.number;
        };
        p.submitted = [](void* user, const sluice_request_view*, std::uint64_t) {
            of(user).call_back();
        };
        p.served = [](void* user, const sluice_request_view*, std::uint32_t, double) {
            of(user).call_back();
        };
        p.done = [](void* user, const sluice_request_view*, std::uint64_t) {
            of(user).call_back();
        };
        return p;
    }
    sluice_cost_model cost() {
        sluice_cost_model c = SLUICE_COST_MODEL_INIT;
        c.user = this;
        c.predict = [](void* user, std::uint32_t, const sluice_demand*) {
            of(user).call_back();
            return of(user).behave_.real;
        };
        c.observe = [](void* user, std::uint32_t, const sluice_demand*, double) {
            of(user).call_back();
        };
        c.generation = [](void* user) { return of(user).behave_.number; };
        return c;
    }

    // ---- arguments

    std::uint64_t limited(std::uint64_t n) const noexcept {
        return n >= absurd_memory ? n : n % (most_memory + 1);
    }
    const char* text() {
        if (in_.below(4) == 0) {
            return nullptr;
        }
        static constexpr std::string_view known[] = {"fifo",
                                                     "sjf",
                                                     "external",
                                                     "lstf:late_last=off",
                                                     "aging:after=30(sjf)",
                                                     "linear",
                                                     "calvo",
                                                     "fair(sjf)",
                                                     "aging:after=0.000000001(external)",
                                                     "tcp://h:1",
                                                     "tcp://h:1, tcp://h:2,,"};
        std::string s(known[in_.below(std::size(known))]);
        if (in_.flag()) {
            const auto more = in_.bytes(in_.below(40));
            s.assign(more.begin(), more.end());
        }
        s.push_back('\0');
        return static_cast<const char*>(call_->put(s.data(), s.size()));
    }
    /// Keys that are as long as they say, unless they say what no array can be.
    const void* keys(std::uint32_t& size, std::uint32_t& n) {
        const std::uint64_t wish = in_.number();
        size = wish <= 64 || wish > 1000 ? static_cast<std::uint32_t>(wish) : 8;
        n = static_cast<std::uint32_t>(in_.below(12));
        std::vector<std::uint8_t> raw(std::size_t{n} * std::min<std::uint32_t>(size, 32));
        for (std::size_t i = 0; i < raw.size(); i += 8) {
            raw[i] = in_.byte();
        }
        if (in_.byte() > 250) {
            return nullptr;
        }
        const void* const at = call_->array(raw);
        if (in_.byte() > 250) {
            n = UINT32_MAX - static_cast<std::uint32_t>(in_.below(4));
        }
        return at;
    }
    const sluice_group* groups(std::uint32_t& n_groups, bool touches_memory) {
        std::vector<sluice_group> out(1 + in_.below(3));
        std::uint64_t at = 0;
        for (sluice_group& g : out) {
            std::vector<sluice_region> regions(1 + in_.below(3));
            for (sluice_region& r : regions) {
                r.bytes = 1 + in_.below(255);
                r.stride = r.bytes + in_.below(8);
                r.slots = static_cast<std::uint32_t>(1 + in_.below(16));
                r.base = reinterpret_cast<std::uintptr_t>(arena_.data()) + at;
                r.layer = static_cast<std::int32_t>(in_.below(3)) - 1;
                at += r.stride * r.slots;
                if (!touches_memory && in_.flag()) {
                    r.base = in_.number();
                    r.stride = in_.number();
                    r.bytes = in_.number();
                    const auto slots = static_cast<std::uint32_t>(in_.number());
                    r.slots = slots > (1U << 28) ? slots : slots & 0xffff;
                    r.layer = static_cast<std::int32_t>(in_.number());
                }
            }
            g.regions = in_.byte() > 252 ? nullptr : call_->array(regions);
            g.n_regions = static_cast<std::uint32_t>(regions.size());
            g.hit_rule = in_.byte() > 250 ? 2 + in_.byte() : in_.byte() & 1;
            g.last_n = static_cast<std::uint32_t>(in_.number());
            g.reserved = in_.byte() > 250 ? 1 : 0;
        }
        must(at <= arena_.size(), "the harness's own memory is too small");
        n_groups = static_cast<std::uint32_t>(out.size());
        if (in_.byte() > 250) {
            n_groups = in_.flag() ? 0 : UINT32_MAX;
        }
        return in_.byte() > 252 ? nullptr : call_->array(out);
    }
    std::vector<std::uint32_t> pages(std::size_t n) {
        std::vector<std::uint32_t> out(n);
        for (std::uint32_t& p : out) {
            const std::uint8_t b = in_.byte();
            p = b > 250 ? static_cast<std::uint32_t>(in_.number()) : b % 16U;
        }
        return out;
    }
    std::uint32_t rarely(std::uint32_t usual) {
        return in_.byte() > 240 ? static_cast<std::uint32_t>(in_.number()) : usual;
    }
    sluice_request_id some_id() { return in_.byte() > 250 ? in_.number() : last_id_; }

    // ---- calls

    void step();
    void open_device();
    void open_store();
    void open_pipeline();
    void submit();
    void use_request();
    void look();
    void batch();
    void use_batch();
    void change_behaviour();
    void open_planner();
    void export_message();
    void import_message();
    void merge_reports();
    std::vector<std::uint8_t> message();

    choices in_;
    std::vector<std::byte> arena_;
    behaviour behave_;
    bool calling_back_ = false;
    arguments* call_ = nullptr;
    std::uint64_t now_ns_ = 1'000'000'000;
    std::vector<opened<sluice_loop>> loops_;
    std::vector<opened<sluice_device>> devices_;
    std::vector<opened<sluice_store>> stores_;
    std::vector<opened<sluice_pipeline>> pipes_;
    std::array<std::uintptr_t, 4> stale_{};
    std::vector<sluice_op> out_;
    sluice_request_id last_id_ = 0;
    std::uint64_t last_ticket_ = 0;
    std::vector<std::vector<std::uint8_t>> messages_;  // plans and reports that were exported
    std::array<sluice_status, 16> results_{};
};

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

void program::submit() {
    sluice_request r = SLUICE_REQUEST_INIT;
    r.flags = rarely(in_.byte() & 1);
    r.keys = keys(r.key_size, r.n_keys);
    r.prompt_tokens = in_.byte() > 200 ? in_.number() : 16U * r.n_keys + 1;
    r.user = in_.byte();
    const std::uint8_t which = in_.byte();
    if (which & 1) {
        r.pages = static_cast<std::uint32_t>(in_.number());
        r.resident_blocks = static_cast<std::uint32_t>(in_.number());
    }
    if (which & 2) {
        r.max_load_blocks = static_cast<std::uint32_t>(in_.number());
        r.min_query_tokens = static_cast<std::uint32_t>(in_.number());
    }
    if (which & 4) {
        r.priority = static_cast<std::int32_t>(in_.number());
        r.tenant = static_cast<std::uint32_t>(in_.number());
        r.tenant_weight = in_.real();
        r.rank = in_.real();
    }
    if (which & 8) {
        r.arrival_ns = in_.number();
        r.deadline_ns = in_.number();
        r.load_timeout_ns = in_.number();
    }
    sluice_request_id id = 77;
    sluice_pipeline* const p = pick(pipes_);
    const sluice_status s = checked(sluice_submit(p, call_->sized(in_, r), &id));
    must((s == SLUICE_OK) == (id != 0), "an id without success");
    last_id_ = s == SLUICE_OK ? id : last_id_;
}

void program::use_request() {
    sluice_pipeline* const p = pick(pipes_);
    const sluice_request_id request = some_id();
    switch (in_.below(10)) {
    case 0: {
        const auto given = pages(in_.below(64));
        const auto n = static_cast<std::uint32_t>(given.size());
        checked(sluice_bind(p, request, call_->array(given), n));
        break;
    }
    case 1: checked(sluice_detach(p, request)); break;
    case 2: checked(sluice_cancel(p, request)); break;
    case 3:
    case 4: checked(sluice_release(p, request)); break;
    case 5: checked(sluice_set_rank(p, request, in_.real())); break;
    case 6:
    case 7: checked(sluice_compute_done(p, request, in_.number())); break;
    case 8: {
        std::uint32_t size = 0;
        std::uint32_t n = 0;
        const void* const names = keys(size, n);
        const auto from = pages(n > 64 ? 1 : n);
        sluice_request_id id = 77;
        // An array of pages cannot be as long as some numbers of keys.
        const sluice_status s =
            checked(sluice_store_blocks(p, names, size, call_->array(from), n, in_.byte(), &id));
        must((s == SLUICE_OK) == (id != 0), "an id without success");
        last_id_ = s == SLUICE_OK ? id : last_id_;
        break;
    }
    default: {
        std::vector<std::uint32_t> room(in_.below(32));
        std::uint32_t n = 0;
        checked(sluice_pages(p, request, call_->array(room),
                             static_cast<std::uint32_t>(room.size()), &n));
        break;
    }
    }
}

void program::look() {
    sluice_pipeline* const p = pick(pipes_);
    const sluice_request_id request = some_id();
    std::uint32_t n = 0;
    switch (in_.below(9)) {
    case 0: {
        std::array<sluice_event, 40> events;
        checked(sluice_poll(p, events.data(), static_cast<std::uint32_t>(in_.below(41)), &n));
        for (const sluice_event& e : std::span(events).first(n)) {
            must(e.kind <= SLUICE_EVENT_STORED && e.text != nullptr, "an event that is none");
            must((e.kind == SLUICE_EVENT_FAILED) == (e.status != SLUICE_OK),
                 "a failure without why");
            last_id_ = e.request;
        }
        break;
    }
    case 1: {
        sluice_request_id ready = 0;
        checked(sluice_next_ready(p, &ready));
        break;
    }
    case 2: {
        std::vector<sluice_request_id> ids(in_.below(8), request);
        checked(sluice_sort(p, call_->array(ids), static_cast<std::uint32_t>(ids.size())));
        break;
    }
    case 3: {
        sluice_progress out = SLUICE_PROGRESS_INIT;
        checked(sluice_query(p, request, call_->sized(in_, out)));
        break;
    }
    case 4: {
        sluice_report out = SLUICE_REPORT_INIT;
        checked(sluice_request_report(p, request, call_->sized(in_, out)));
        break;
    }
    case 5: {
        sluice_stats out = SLUICE_STATS_INIT;
        checked(sluice_pipeline_stats(p, call_->sized(in_, out)));
        break;
    }
    case 6: {
        std::vector<char> room(in_.byte() > 128 ? 65536 : in_.byte());
        std::uint64_t needed = 0;
        checked(sluice_metrics(p, call_->array(room), room.size(), &needed));
        break;
    }
    case 7: {
        int fd = -1;
        checked(sluice_event_fd(p, &fd));
        break;
    }
    default:
        must(sluice_status_name(static_cast<sluice_status>(in_.number())) != nullptr, "no name");
        break;
    }
}

void program::batch() {
    sluice_batch b = SLUICE_BATCH_INIT;
    b.kind = rarely(static_cast<std::uint32_t>(in_.below(4)));
    b.keys = keys(b.key_size, b.n);
    std::vector<void*> memory;
    std::vector<std::uint64_t> sizes;
    for (std::uint32_t i = 0; i < std::min(b.n, 64U); ++i) {
        const std::size_t at = in_.below(16) * 256;
        memory.push_back(in_.byte() > 252 ? nullptr : arena_.data() + at);
        // Of driver and memory store alike only what is there is touched.
        sizes.push_back(in_.byte() > 252 ? 0 : 1 + in_.below(256));
    }
    b.memory = in_.byte() > 252 ? nullptr : call_->array(memory);
    b.bytes = in_.byte() > 252 ? nullptr : call_->array(sizes);
    b.results = in_.flag() ? results_.data() : nullptr;
    b.rank = in_.byte() > 200 ? in_.real() : 0;
    b.user = in_.byte();
    std::uint64_t ticket = 77;
    sluice_store* const to = batch_store();
    const sluice_status s = checked(sluice_store_submit(to, call_->sized(in_, b), &ticket));
    must((s == SLUICE_OK) == (ticket != 0), "a ticket without success");
    last_ticket_ = s == SLUICE_OK ? ticket : last_ticket_;
}

void program::use_batch() {
    sluice_store* const s = batch_store();
    const std::uint64_t ticket = in_.byte() > 250 ? in_.number() : last_ticket_;
    switch (in_.below(6)) {
    case 0: {
        std::array<sluice_batch_result, 8> out;
        std::uint32_t n = 0;
        checked(sluice_store_poll(s, out.data(), static_cast<std::uint32_t>(in_.below(9)), &n));
        break;
    }
    case 1: {
        sluice_batch_result out;
        checked(sluice_store_wait(s, ticket, 0, &out));
        break;
    }
    case 2: checked(sluice_store_cancel(s, ticket)); break;
    case 3: {
        int fd = -1;
        checked(sluice_store_event_fd(s, &fd));
        break;
    }
    default: {
        void* const at = in_.byte() > 250 ? nullptr : arena_.data() + in_.below(16) * 256;
        const std::uint64_t size = in_.byte() > 200 ? in_.number() : 256 * (1 + in_.below(16));
        checked(in_.flag() ? sluice_store_register(s, at, size)
                           : sluice_store_unregister(s, at, size));
        break;
    }
    }
}

void program::change_behaviour() {
    constexpr sluice_status codes[] = {
        SLUICE_OK,          SLUICE_E_NOT_FOUND,          SLUICE_E_DATA_LOSS, SLUICE_E_UNAVAILABLE,
        SLUICE_PENDING,     SLUICE_E_RESOURCE_EXHAUSTED, INT32_MIN,          INT32_MAX,
        SLUICE_E_TRUNCATED, SLUICE_E_DEADLINE_EXCEEDED};
    behave_.code = codes[in_.below(std::size(codes))];
    behave_.number = in_.number();
    behave_.real = in_.real();
    behave_.keep = in_.flag();
    behave_.call_back = in_.flag();
}

// ---- plans and reports

void program::open_planner() {
    if (pipes_.size() >= 3) {
        return;
    }
    sluice_planner_options o = SLUICE_PLANNER_OPTIONS_INIT;
    o.flags = rarely(0);
    o.workers = rarely(1);
    o.n_groups = rarely(1);
    o.block_tokens = rarely(0);
    o.max_requests = rarely(0);
    o.pages = rarely(16);
    o.block_pieces = rarely(0);
    o.block_bytes = in_.byte() > 200 ? in_.number() : 64;
    const std::uint8_t which = in_.byte();
    o.policy = which & 2 ? text() : nullptr;
    o.cost = which & 4 ? text() : nullptr;
    sluice_policy p = policy();
    sluice_cost_model c = cost();
    if (which & 8) {
        o.custom_policy = call_->sized(in_, p);
    }
    if (which & 16) {
        o.custom_cost = call_->sized(in_, c);
    }
    sluice_clock clock = SLUICE_CLOCK_INIT;
    clock.user = &now_ns_;
    clock.now = [](void* user) { return *static_cast<std::uint64_t*>(user); };
    o.clock = call_->sized(in_, clock);
    sluice_pipeline* made = nullptr;
    keep(sluice_planner_open(call_->sized(in_, o), &made), made, pipes_);
}

void program::export_message() {
    sluice_pipeline* const p = pick(pipes_);
    std::vector<std::uint8_t> room(in_.byte() > 200 ? in_.byte() : 65536);
    std::uint64_t needed = 0;
    auto* const at = call_->array(room);
    const sluice_status s =
        in_.flag() ? sluice_worker_report_export(p, rarely(0), at, room.size(), &needed)
                   : sluice_plan_export(p, at, room.size(), &needed);
    if (checked(s) == SLUICE_OK && needed > 0 && messages_.size() < 16) {
        must(needed <= room.size(), "more was written than there is room");
        messages_.emplace_back(at, at + needed);
    }
}

/// One that was exported, as it is or changed; or any bytes.
std::vector<std::uint8_t> program::message() {
    const std::uint8_t b = in_.byte();
    if (messages_.empty() || b > 250) {
        return in_.bytes(in_.below(100));
    }
    std::vector<std::uint8_t> m = messages_[b % messages_.size()];
    for (std::size_t n = in_.below(4); n > 0; --n) {
        const std::size_t at = in_.number() % m.size();
        m[at] = in_.byte();
    }
    if (in_.byte() > 240) {
        m.resize(in_.byte());
    }
    return m;
}

void program::import_message() {
    sluice_pipeline* const p = pick(pipes_);
    const std::vector<std::uint8_t> m = message();
    const std::uint8_t* const at = call_->array(m);
    if (in_.flag()) {
        checked(sluice_report_import(p, at, m.size()));
        return;
    }
    const auto suffix = in_.bytes(in_.below(8));
    checked(sluice_plan_import(p, at, m.size(), call_->array(suffix),
                               static_cast<std::uint32_t>(suffix.size())));
}

void program::merge_reports() {
    std::vector<const void*> reports;
    std::vector<std::uint64_t> sizes;
    for (std::size_t n = in_.below(4); n > 0; --n) {
        const std::vector<std::uint8_t> m = message();
        reports.push_back(in_.byte() > 250 ? nullptr : call_->array(m));
        sizes.push_back(m.size());
    }
    std::vector<std::uint8_t> room(in_.byte() > 200 ? in_.byte() : 65536);
    std::uint64_t needed = 0;
    auto* const at = call_->array(room);
    const sluice_status s =
        sluice_report_merge(call_->array(reports), call_->array(sizes),
                            static_cast<std::uint32_t>(reports.size()), at, room.size(), &needed);
    if (checked(s) == SLUICE_OK && needed > 0 && messages_.size() < 16) {
        messages_.emplace_back(at, at + needed);
    }
}

}  // namespace

// Memory that nobody has is refused, as by malloc, in place of ending the run.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    program({data, size}).run();
    return 0;
}
