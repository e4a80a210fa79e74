// SPDX-License-Identifier: Apache-2.0
#include "message.hpp"

#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <map>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/checksum.hpp>

#include "../wire/codec.hpp"

namespace sluice::split {

namespace {

// A message: magic, version, planner, its own fields, and a checksum of all before it.
constexpr std::uint32_t plan_magic = 0x6e6c7073;    // "spln"
constexpr std::uint32_t report_magic = 0x74707273;  // "srpt"
constexpr std::uint8_t version = 2;
constexpr std::size_t checksum_bytes = 8;
constexpr std::size_t most_items = std::size_t{1} << 24;
constexpr std::size_t most_text = 512;
// Bytes of the items of lists, at least.
constexpr std::size_t key_bytes = 2;
constexpr std::size_t page_bytes = 4;
constexpr std::size_t order_bytes = 9;
constexpr std::size_t fact_bytes = 17;
constexpr std::uint8_t last_code = 16;  // of absl::StatusCode

// M, or const M where it is written.
template <class T, class M>
concept like = std::same_as<std::remove_const_t<T>, M>;

constexpr auto each_key = [](auto& io, auto& key) { io.key("keys", key); };
constexpr auto each_page = [](auto& io, auto& page) { io.number("pages", page); };

template <class Io, class Rank>
void rank_fields(Io& io, Rank& rank) {
    io.real("rank", rank.value);
    io.choice("tier", rank.tier, rank_tier::background);
}

template <class Io, class Real>
void time_field(Io& io, std::string_view name, Real& seconds) {
    io.real(name, seconds);
    io.require(std::isfinite(seconds) && seconds >= 0, name, "is no length of time");
}

template <class Io, like<order> M>
void fields(Io& io, M& m) {
    using kind = order::kind;
    io.choice("order", m.what, kind::release);
    io.number("request", m.request, 1);
    if (m.what == kind::submit || m.what == kind::store) {
        io.long_list("keys", m.keys, key_bytes, most_items, each_key);
    }
    if (m.what == kind::store || m.what == kind::bind) {
        io.long_list("pages", m.pages, page_bytes, most_items, each_page);
    }
    if (m.what == kind::submit) {
        io.number("prompt_tokens", m.prompt_tokens);
        io.number("pages_per_group", m.pages_per_group);
        io.number("resident_blocks", m.resident_blocks);
        io.number("max_load_blocks", m.max_load_blocks);
        io.number("min_query_tokens", m.min_query_tokens);
        io.number("load_timeout_ns", m.load_timeout_ns, 0,
                  std::uint64_t{std::numeric_limits<std::int64_t>::max()});
        io.number("tenant", m.tenant);
        io.real("tenant_weight", m.tenant_weight);
        io.flag("write_back", m.write_back);
        io.flag("prewarm", m.prewarm);
    }
    if (m.what == kind::submit || m.what == kind::rank) {
        rank_fields(io, m.rank);
    }
    if (m.what == kind::compute_done) {
        time_field(io, "seconds", m.seconds);
    }
}

template <class Io, like<fact> M>
void fields(Io& io, M& m) {
    using kind = fact::kind;
    io.choice("fact", m.what, kind::stored);
    io.number("request", m.request, 1);
    io.number("ranks", m.ranks, 1);
    if (m.what != kind::want_pages && m.what != kind::quiesced) {
        io.number("blocks", m.blocks);
    }
    if (m.what != kind::outcome) {
        return;
    }
    io.choice("end", m.end, event_kind::failed);
    io.require(is_outcome(m.end) && m.end != event_kind::computed, "end", "is not an outcome");
    io.number("busy", m.busy);
    io.require((m.busy & ~m.ranks) == 0, "busy", "names a rank that has no outcome");
    io.number("failed_rank", m.failed_rank, 0, static_cast<std::uint8_t>(max_workers - 1));
    io.number("code", m.code, 0, last_code);
    io.text("text", m.text, most_text);
    time_field(io, "fetch_seconds", m.fetch_seconds);
    time_field(io, "copy_seconds", m.copy_seconds);
    io.number("bytes_fetched", m.bytes_fetched);
}

constexpr auto each_order = [](auto& io, auto& item) { fields(io, item); };

template <class Io, like<plan> M>
void fields(Io& io, M& m) {
    io.number("planner", m.planner, 1);
    io.number("sequence", m.sequence, 1);
    io.long_list("orders", m.orders, order_bytes, most_items, each_order);
}

template <class Io, like<report> M>
void fields(Io& io, M& m) {
    io.number("planner", m.planner, 1);
    io.long_list("facts", m.facts, fact_bytes, most_items, each_order);
}

template <class M>
std::vector<std::byte> encode_as(std::uint32_t magic, const M& m) {
    std::vector<std::byte> out;
    out.reserve(1024);
    wire::byte_writer io(out);
    io.magic(magic);
    io.number("version", version);
    fields(io, m);
    io.number("checksum", checksum64(out));
    return out;
}

template <class M>
absl::StatusOr<M> decode_as(std::uint32_t magic, std::string_view name,
                            std::span<const std::byte> bytes) {
    const auto refuse = [name](std::string_view why) {
        return absl::InvalidArgumentError(fmt::format("not a {} of this library: {}", name, why));
    };
    if (bytes.size() < checksum_bytes) {
        return refuse("it is too short");
    }
    const std::span<const std::byte> body = bytes.first(bytes.size() - checksum_bytes);
    std::uint64_t checksum = 0;
    wire::byte_reader(bytes.last(checksum_bytes)).number("checksum", checksum);
    if (checksum != checksum64(body)) {
        return refuse("it is damaged or incomplete");
    }
    wire::byte_reader io(body);
    M m;
    std::uint8_t got = 0;
    io.magic(magic);
    io.number("version", got, version, version);
    fields(io, m);
    if (io.wrong() != nullptr) {
        return refuse(fmt::format("{} {}", io.where(), io.wrong()));
    }
    if (io.left() > 0) {
        return refuse("it goes on behind its end");
    }
    return m;
}

}  // namespace

bool same_event(const fact& a, const fact& b) noexcept {
    return a.request == b.request && a.what == b.what;
}

void merge(fact& into, const fact& other) {
    into.ranks |= other.ranks;
    into.blocks = std::min(into.blocks, other.blocks);
    if (other.end == event_kind::failed &&
        (into.end != event_kind::failed || other.failed_rank < into.failed_rank)) {
        into.failed_rank = other.failed_rank;
        into.code = other.code;
        into.text = other.text;
    }
    into.end = std::max(into.end, other.end);
    into.busy |= other.busy;
    into.fetch_seconds = std::max(into.fetch_seconds, other.fetch_seconds);
    into.copy_seconds = std::max(into.copy_seconds, other.copy_seconds);
    into.bytes_fetched = std::max(into.bytes_fetched, other.bytes_fetched);
}

void merge(report& into, const report& other) {
    std::map<std::pair<std::uint64_t, fact::kind>, std::size_t> known;
    for (std::size_t i = 0; i < into.facts.size(); ++i) {
        known.try_emplace({into.facts[i].request, into.facts[i].what}, i);
    }
    for (const fact& f : other.facts) {
        const auto [at, fresh] = known.try_emplace({f.request, f.what}, into.facts.size());
        if (fresh) {
            into.facts.push_back(f);
        } else {
            merge(into.facts[at->second], f);
        }
    }
}

std::vector<std::byte> encode(const plan& p) { return encode_as(plan_magic, p); }
std::vector<std::byte> encode(const report& r) { return encode_as(report_magic, r); }

absl::StatusOr<plan> decode_plan(std::span<const std::byte> bytes) {
    return decode_as<plan>(plan_magic, "plan", bytes);
}
absl::StatusOr<report> decode_report(std::span<const std::byte> bytes) {
    return decode_as<report>(report_magic, "report", bytes);
}

}  // namespace sluice::split
