// SPDX-License-Identifier: Apache-2.0
// The calls of a program once everything is open.
#include "fuzz/options_program.hpp"

namespace sluice_test {

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
            must(e.kind <= SLUICE_EVENT_LOOKED_UP && e.text != nullptr, "an event that is none");
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

}  // namespace sluice_test
