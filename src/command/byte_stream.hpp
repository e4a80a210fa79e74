// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/coro/loop.hpp>
#include <sluice/coro/task.hpp>

namespace sluice::command {

/// A descriptor that is closed with this object, but for the standard ones.
class owned_fd {
 public:
    explicit owned_fd(int fd = -1) noexcept : fd_(fd) {}
    owned_fd(owned_fd&& other) noexcept : fd_(other.release()) {}
    owned_fd& operator=(owned_fd&& other) noexcept;
    ~owned_fd();

    [[nodiscard]] int get() const noexcept { return fd_; }
    int release() noexcept;

 private:
    int fd_;
};

/// Bytes that are read in order, from a file or from standard input. A pipe that has nothing yet
/// holds up its coroutine, not the loop.
class byte_source {
 public:
    /// \param path  "-": standard input
    /// \return kNotFound, kPermissionDenied, kInvalidArgument: a folder; kUnavailable.
    [[nodiscard]] static absl::StatusOr<byte_source> open(const std::string& path);

    /// Of a file, which can also be read again; else empty.
    [[nodiscard]] std::optional<std::uint64_t> size() const noexcept { return size_; }
    absl::Status rewind();

    /// Reads until `into` is full or the end has come.
    /// \return how many bytes; kUnavailable.
    task<absl::StatusOr<std::size_t>> read(loop& home, std::span<std::byte> into);
    /// The same for who may block.
    absl::StatusOr<std::size_t> read_blocking(std::span<std::byte> into);

    [[nodiscard]] const std::string& name() const noexcept { return name_; }

 private:
    byte_source(owned_fd fd, std::string name) noexcept
        : fd_(std::move(fd)), name_(std::move(name)) {}
    [[nodiscard]] absl::Status failed(int error) const;

    owned_fd fd_;
    std::string name_;
    std::optional<std::uint64_t> size_;
};

/// Where bytes are written in order. A file appears under its name when all of it is there, and
/// only then; a pipe that is full holds up its coroutine, not the loop.
class byte_sink {
 public:
    /// \param path  "-": standard output; empty: nowhere
    /// \return kNotFound, kPermissionDenied, kInvalidArgument: a folder; kUnavailable.
    [[nodiscard]] static absl::StatusOr<byte_sink> open(const std::string& path);
    byte_sink(byte_sink&& other) noexcept;
    byte_sink& operator=(byte_sink&&) = delete;
    /// What was not committed is removed.
    ~byte_sink();

    /// \return kUnavailable.
    task<absl::Status> write(loop& home, std::span<const std::byte> bytes);
    /// Gives the file its name.
    absl::Status commit();

 private:
    byte_sink(owned_fd fd, std::string path) noexcept
        : fd_(std::move(fd)), path_(std::move(path)) {}
    [[nodiscard]] absl::Status failed(int error) const;

    owned_fd fd_;
    std::string path_;
    std::string part_;      // until it is committed; empty: written to as it is
    bool is_pipe_ = false;  // or a socket or a terminal
};

}  // namespace sluice::command
