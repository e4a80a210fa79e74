// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include <absl/status/statusor.h>

namespace sluice::replay {

/// A secret that was just made up, in a file that nobody else can read; removed with this object.
class secret_file {
 public:
    /// \return kUnavailable: there is no place for a file, or nothing random.
    static absl::StatusOr<secret_file> create();
    secret_file(secret_file&& other) noexcept
        : path_(std::exchange(other.path_, {})), text_(std::move(other.text_)) {}
    secret_file& operator=(secret_file&&) = delete;
    ~secret_file();

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
    secret_file() = default;
    std::string path_;
    std::string text_;
};

}  // namespace sluice::replay
