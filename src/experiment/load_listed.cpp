// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <fmt/format.h>

#include "../json/object_reader.hpp"
#include "../workload/arrivals.hpp"
#include "load_parts.hpp"

namespace sluice::experiment {
namespace {

constexpr std::uint64_t most_tokens = 100'000'000;

/// Reads the requests of a list, one after the other.
class list_reader {
 public:
    list_reader(const load_options& options, bool may_name_blocks, load& out)
        : options_(options), may_name_blocks_(may_name_blocks), out_(out) {}

    [[nodiscard]] absl::Status add(const json::value& what) {
        json::object_reader from(what);
        load_request r;
        r.arrival_s = from.number("arrival_s", 0, 1e9);
        if (from.ok() && r.arrival_s < last_s_) {
            from.keep(
                what.error(fmt::format("key 'arrival_s' is {}, before {}, that of the request "
                                       "above",
                                       r.arrival_s, last_s_)));
        }
        last_s_ = r.arrival_s;
        const std::uint64_t context = from.whole("context_tokens", 0, most_tokens);
        r.prompt_tokens = context + from.whole("query_tokens", 1, most_tokens);
        r.output_tokens =
            static_cast<std::uint32_t>(from.whole_or("output_tokens", 1, 1, most_tokens));
        const std::uint64_t blocks = context / out_.block_tokens;
        if (const json::value* ids = from.find("blocks")) {
            from.keep(read_ids(*ids, blocks, r));
        }
        if (absl::Status fault = from.finish(); !fault.ok()) {
            return fault;
        }
        r.cached_blocks = cached_share(blocks, options_.hit_ratio);
        r.deadline_multiple = workload::draw_deadline_multiple(options_.seed, out_.requests.size());
        if (absl::Status fault = own_.complete(r, out_.block_tokens); !fault.ok()) {
            return fault;
        }
        out_.requests.push_back(std::move(r));
        out_.distinct = !prefixes_.shared();
        return absl::OkStatus();
    }

 private:
    absl::Status read_ids(const json::value& ids, std::uint64_t blocks, load_request& r) {
        if (!may_name_blocks_) {
            return ids.error("key 'blocks' needs a 'block_tokens' beside 'requests'");
        }
        if (!ids.is_array()) {
            return ids.error(fmt::format("key 'blocks' is {}, not an array", ids.type_name()));
        }
        if (ids.items().size() != blocks) {
            return ids.error(
                fmt::format("key 'blocks' has {} ids, but the context has {} whole "
                            "blocks of {} tokens",
                            ids.items().size(), blocks, out_.block_tokens));
        }
        for (const json::value& id : ids.items()) {
            const std::string name = fmt::format("key 'blocks'[{}]", r.block_ids.size());
            if (absl::Status fault = json::check_whole(id, name, 0, first_own_id - 1);
                !fault.ok()) {
                return fault;
            }
            r.block_ids.push_back(*id.whole());
        }
        const std::optional<std::string> fault = prefixes_.add(r.block_ids, ids.line());
        return fault ? ids.error("key 'blocks': " + *fault) : absl::OkStatus();
    }

    const load_options& options_;
    bool may_name_blocks_;
    load& out_;
    prefix_check prefixes_;
    own_ids own_;
    double last_s_ = 0;
};

}  // namespace

absl::StatusOr<load> listed_load(const json::value& file, const load_options& options) {
    json::object_reader from(file);
    load out;
    out.name = from.text("name");
    out.description = from.text_or("description", "");
    out.block_tokens = static_cast<std::uint32_t>(
        from.whole_or("block_tokens", options.block_tokens, 1, 1'000'000));
    const bool may_name_blocks = from.find("block_tokens") != nullptr;
    const json::value* requests = from.array("requests");
    if (absl::Status fault = from.finish(); !fault.ok()) {
        return fault;
    }
    if (requests->items().empty()) {
        return requests->error("key 'requests' is empty");
    }
    list_reader list(options, may_name_blocks, out);
    for (const json::value& r : requests->items()) {
        if (options.requests != 0 && out.requests.size() == options.requests) {
            break;
        }
        if (absl::Status fault = list.add(r); !fault.ok()) {
            return fault;
        }
    }
    if (options.qps > 0) {
        if (out.requests.size() > 1 && workload::rate_of_arrivals(out.requests) == 0) {
            return requests->error(fmt::format(
                "key 'requests': all arrive at once, so a qps of {} cannot be made", options.qps));
        }
        workload::scale_arrivals(out.requests, options.qps);
    }
    return out;
}

}  // namespace sluice::experiment
