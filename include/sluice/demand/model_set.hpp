// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <absl/status/status.h>

#include <sluice/demand/demand_model.hpp>
#include <sluice/demand/sample_set.hpp>

namespace sluice::demand {

/// The models of all classes of applications that are known, by name.
///
/// \par Thread safety
/// One thread at a time, for const members too.
class model_set {
 public:
    model_set();
    model_set(const model_set&) = delete;
    model_set& operator=(const model_set&) = delete;
    model_set(model_set&&) noexcept;
    model_set& operator=(model_set&&) noexcept;
    ~model_set();

    /// Reads all models of a folder: its files *.json, in the order of their names.
    /// \return kNotFound: no such folder, or none in it; else as `demand_model::read`. What was
    /// read before a fault stays.
    absl::Status load_directory(const std::string& folder, const demand_options& options = {});
    /// Adds a model, or replaces that of the same application.
    void add(std::unique_ptr<demand_model> model);
    /// Null: unknown.
    [[nodiscard]] demand_model* find(std::string_view application) const noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return models_.size(); }
    /// By name.
    [[nodiscard]] const std::map<std::string, std::unique_ptr<demand_model>, std::less<>>& models()
        const noexcept {
        return models_;
    }
    /// Models like these that learn for themselves.
    [[nodiscard]] model_set clone() const;

    /// \name What is expected of a class that nothing is known of
    /// Whole runs of all classes; each class counts alike. Made at the first call after `add`, not
    /// for every run that a model learns. Empty if there is no model.
    ///@{
    [[nodiscard]] const sample_set& pooled_service() const;
    [[nodiscard]] const sample_set& pooled_path() const;
    ///@}

 private:
    void pool() const;

    std::map<std::string, std::unique_ptr<demand_model>, std::less<>> models_;
    mutable sample_set pooled_service_;
    mutable sample_set pooled_path_;
    mutable bool pooled_ = false;
};

}  // namespace sluice::demand
