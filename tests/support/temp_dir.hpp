// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

namespace sluice_test {

/// A folder that goes away with its contents.
class temp_dir {
 public:
    temp_dir() {
        std::string pattern = (std::filesystem::temp_directory_path() / "sluice_XXXXXX").string();
        path_ = mkdtemp(pattern.data()) != nullptr ? pattern : std::string();
    }
    temp_dir(const temp_dir&) = delete;
    temp_dir& operator=(const temp_dir&) = delete;
    ~temp_dir() {
        std::error_code error;
        std::filesystem::remove_all(path_, error);
    }

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::string file(std::string_view name) const {
        return path_ + '/' + std::string(name);
    }
    /// Writes a file; \return its path.
    [[nodiscard]] std::string write(std::string_view name, std::string_view text) const {
        std::ofstream(file(name), std::ios::binary) << text;
        return file(name);
    }

 private:
    std::string path_;
};

}  // namespace sluice_test
