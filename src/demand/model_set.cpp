// SPDX-License-Identifier: Apache-2.0
#include <sluice/demand/model_set.hpp>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace sluice::demand {

model_set::model_set() = default;
model_set::model_set(model_set&&) noexcept = default;
model_set& model_set::operator=(model_set&&) noexcept = default;
model_set::~model_set() = default;

void model_set::add(std::unique_ptr<demand_model> model) {
    pooled_ = false;
    std::string name = model->application();
    models_.insert_or_assign(std::move(name), std::move(model));
}

absl::Status model_set::load_directory(const std::string& folder, const demand_options& options) {
    namespace fs = std::filesystem;
    std::error_code error;
    std::vector<std::string> files;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        if (it->path().extension() == ".json") {
            files.push_back(it->path().string());
        }
    }
    if (error) {
        return absl::NotFoundError(fmt::format("{}: {}", folder, error.message()));
    }
    if (files.empty()) {
        return absl::NotFoundError(fmt::format("{}: no model (*.json) there", folder));
    }
    std::sort(files.begin(), files.end());
    for (const std::string& file : files) {
        absl::StatusOr<std::unique_ptr<demand_model>> model = demand_model::read(file, options);
        if (!model.ok()) {
            return model.status();
        }
        add(*std::move(model));
    }
    return absl::OkStatus();
}

demand_model* model_set::find(std::string_view application) const noexcept {
    const auto it = models_.find(application);
    return it == models_.end() ? nullptr : it->second.get();
}

model_set model_set::clone() const {
    model_set out;
    for (const auto& [name, model] : models_) {
        out.add(model->clone());
    }
    return out;
}

void model_set::pool() const {
    if (pooled_) {
        return;
    }
    // As many quantiles of each class, so that classes with many runs do not count more.
    constexpr int each = 50;
    std::vector<double> service;
    std::vector<double> path;
    for (const auto& [name, model] : models_) {
        for (int i = 0; i < each; ++i) {
            const double q = (i + 0.5) / each;
            service.push_back(model->service().quantile(q));
            path.push_back(model->path().quantile(q));
        }
    }
    pooled_service_.assign(service);
    pooled_path_.assign(path);
    pooled_ = true;
}

const sample_set& model_set::pooled_service() const {
    pool();
    return pooled_service_;
}

const sample_set& model_set::pooled_path() const {
    pool();
    return pooled_path_;
}

}  // namespace sluice::demand
