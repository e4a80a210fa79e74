// SPDX-License-Identifier: Apache-2.0
#pragma once

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

namespace sluice_test {

inline void must(bool holds, const char* what) {
    if (!holds) {
        std::fprintf(stderr, "options_fuzz: %s (last error: %s)\n", what, sluice_last_error());
        std::abort();
    }
}

/// A code of the API; a failure has a text.
inline sluice_status checked(sluice_status s) {
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

/// A program of calls, as bytes choose it; and all that it has open.
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

}  // namespace sluice_test
