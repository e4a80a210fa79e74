// SPDX-License-Identifier: Apache-2.0
#include "profile.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace sluice::command {
namespace {

using json = nlohmann::ordered_json;

json load_json(const load_coefficients& fit) {
    return {{"fixed_s", fit.fixed_s},
            {"per_byte_s", fit.per_byte_s},
            {"per_descriptor_s", fit.per_descriptor_s},
            {"r2", fit.r2}};
}

/// Reads numbers of one object; keeps the first fault.
class object_reader {
 public:
    object_reader(const json& profile, const char* name, std::string& fault)
        : name_(name), fault_(fault) {
        const auto it = profile.find(name);
        if (it == profile.end() || !it->is_object()) {
            complain(fmt::format("'{}' is missing or not an object", name));
        } else {
            object_ = &*it;
        }
    }

    double number(const char* key) {
        if (object_ == nullptr) {
            return 0;
        }
        const auto it = object_->find(key);
        if (it == object_->end() || !it->is_number()) {
            complain(fmt::format("'{}.{}' is missing or not a number", name_, key));
            return 0;
        }
        return it->get<double>();
    }

 private:
    void complain(std::string what) {
        if (fault_.empty()) {
            fault_ = std::move(what);
        }
    }

    const json* object_ = nullptr;
    const char* name_;
    std::string& fault_;
};

load_coefficients read_load(const json& profile, const char* name, std::string& fault) {
    object_reader from(profile, name, fault);
    load_coefficients fit;
    fit.fixed_s = from.number("fixed_s");
    fit.per_byte_s = from.number("per_byte_s");
    fit.per_descriptor_s = from.number("per_descriptor_s");
    fit.r2 = from.number("r2");
    return fit;
}

}  // namespace

std::string profile_json(const profile_result& profile) {
    json facts = json::object();
    for (const result_fact& fact : profile.facts) {
        facts[fact.name] = fact.value;
    }
    json out{{"fetch", load_json(profile.fetch)}, {"copy", load_json(profile.copy)}};
    out["compute"] = {{"c0_s", profile.compute.c0_s},
                      {"c1_s", profile.compute.c1_s},
                      {"c2_s", profile.compute.c2_s},
                      {"r2", profile.compute.r2}};
    out["facts"] = std::move(facts);
    return out.dump(2, ' ', false, json::error_handler_t::replace) + '\n';
}

absl::StatusOr<profile_result> parse_profile(std::string_view text) {
    const json parsed = json::parse(text, nullptr, false);
    if (parsed.is_discarded() || !parsed.is_object()) {
        return absl::InvalidArgumentError("a profile is a JSON object, this is not");
    }
    std::string fault;
    profile_result out;
    out.fetch = read_load(parsed, "fetch", fault);
    out.copy = read_load(parsed, "copy", fault);
    object_reader compute(parsed, "compute", fault);
    out.compute.c0_s = compute.number("c0_s");
    out.compute.c1_s = compute.number("c1_s");
    out.compute.c2_s = compute.number("c2_s");
    out.compute.r2 = compute.number("r2");
    if (!fault.empty()) {
        return absl::InvalidArgumentError("a profile in which " + fault);
    }
    if (const auto facts = parsed.find("facts"); facts != parsed.end() && facts->is_object()) {
        for (const auto& [name, value] : facts->items()) {
            if (value.is_string()) {
                out.facts.push_back({name, value.get<std::string>()});
            }
        }
    }
    return out;
}

}  // namespace sluice::command
