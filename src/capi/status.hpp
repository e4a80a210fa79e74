// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <new>
#include <string_view>
#include <utility>

#include <absl/status/status.h>

#include <sluice/sluice.h>

namespace sluice::capi {

/// The code of a failed call; the text becomes this thread's last error: "function: message".
sluice_status fail(std::string_view function, const absl::Status& status) noexcept;
/// The same, with no memory taken.
sluice_status fail(std::string_view function, sluice_status code, std::string_view text) noexcept;

/// The C code of a status, and back; no text. What is not a code counts as an internal error.
[[nodiscard]] sluice_status code_of(const absl::Status& status) noexcept;
[[nodiscard]] absl::Status status_of(sluice_status code) noexcept;

/// Runs the body of a C function: what it returns, or throws, becomes a code and a text. The one
/// place where exceptions end.
template <class Body>
sluice_status guarded(std::string_view function, Body&& body) noexcept {
#if defined(__cpp_exceptions)
    try {
#endif
        const absl::Status status = std::forward<Body>(body)();
        return status.ok() ? SLUICE_OK : fail(function, status);
#if defined(__cpp_exceptions)
    } catch (const std::bad_alloc&) {
        return fail(function, SLUICE_E_RESOURCE_EXHAUSTED, "out of memory");
    } catch (...) {
        return fail(function, SLUICE_E_INTERNAL, "an exception inside the library");
    }
#endif
}

/// Set while a callback of the user's runs on this thread.
class callback_scope {
 public:
    callback_scope() noexcept { ++depth; }
    ~callback_scope() { --depth; }
    callback_scope(const callback_scope&) = delete;
    callback_scope& operator=(const callback_scope&) = delete;

    /// kFailedPrecondition inside a callback: what must not be called there.
    [[nodiscard]] static absl::Status refuse();

 private:
    static thread_local int depth;
};

}  // namespace sluice::capi
