// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include <absl/status/statusor.h>

#include "../profile.hpp"
#include "corpus.hpp"
#include "mix.hpp"
#include "options.hpp"

namespace sluice::experiment {

/// What an experiment's names stand for; with L3, records say what there is KV of, and the
/// link has its rate.
struct app_inputs {
    app_mix mix;
    hardware_profile hardware;
    kv_model model;
    app_corpus corpus;
};

/// Reads inputs, each set of names once.
///
/// \par Thread safety
/// All members, any thread.
class app_input_cache {
 public:
    /// \return what is wrong with what the options name
    [[nodiscard]] absl::StatusOr<std::shared_ptr<const app_inputs>> get(const app_options& o);

 private:
    std::mutex mutex_;  // held while they are read
    std::map<std::string, std::shared_ptr<const app_inputs>> known_;
};

}  // namespace sluice::experiment
