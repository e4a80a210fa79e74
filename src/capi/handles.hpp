// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

#include <absl/status/statusor.h>

#include <sluice/sluice.h>

namespace sluice::capi {

/// What a handle names.
class object {
 public:
    object() = default;
    object(const object&) = delete;
    object& operator=(const object&) = delete;
    virtual ~object() = default;

    /// No new call begins: lets calls return that wait for something. Any thread.
    virtual void wake_callers() noexcept {}
};

// What the C types stand for; each is an `object`.
class loop_object;
class device_object;
class store_object;
class pipeline_object;

enum class object_kind : std::uint8_t { loop = 1, device, store, pipeline };

// C type, object type, kind, and what people call it.
template <class Object>
struct handle_of;
#define SLUICE_HANDLE_(name)                                   \
    template <>                                                \
    struct handle_of<name##_object> {                          \
        using type = sluice_##name;                            \
        static constexpr object_kind kind = object_kind::name; \
        static constexpr std::string_view text = #name;        \
    }
SLUICE_HANDLE_(loop);
SLUICE_HANDLE_(device);
SLUICE_HANDLE_(store);
SLUICE_HANDLE_(pipeline);
#undef SLUICE_HANDLE_

/// \name The table of handles, one per process
/// A handle is an index and an epoch in a pointer's clothes, and is looked up, never followed. An
/// object in use is not destroyed: calls *pin* it for their time, other objects *hold* it for
/// theirs. All from any thread; pins and looking up neither block nor allocate. After fork the
/// child's table is empty; what the parent's handles named is left alone there.
///@{
namespace detail {
[[nodiscard]] absl::StatusOr<std::uint64_t> add(object_kind kind, std::unique_ptr<object> o);
[[nodiscard]] object* pin(std::uint64_t handle, object_kind kind) noexcept;
void unpin(std::uint64_t handle) noexcept;
/// A pin becomes a hold.
[[nodiscard]] absl::Status hold(std::uint64_t handle, std::string_view text);
void let_go(std::uint64_t handle) noexcept;
/// Destroys the object once no call uses it.
[[nodiscard]] absl::Status close(std::uint64_t handle, object_kind kind, std::string_view text);
[[nodiscard]] absl::Status unknown(std::string_view text);
}  // namespace detail

/// An object for the time of a call, or (`keep`) of another object.
template <class Object>
class pinned {
 public:
    pinned() = default;
    pinned(pinned&& other) noexcept
        : handle_(std::exchange(other.handle_, 0)), object_(other.object_), holds_(other.holds_) {}
    pinned& operator=(pinned&& other) noexcept {
        std::swap(handle_, other.handle_);
        std::swap(object_, other.object_);
        std::swap(holds_, other.holds_);
        return *this;
    }
    ~pinned() {
        if (handle_ != 0) {
            holds_ ? detail::let_go(handle_) : detail::unpin(handle_);
        }
    }

    /// Makes a pin a hold: the object cannot be closed before this is destroyed. \return kNotFound:
    /// it is being closed; kResourceExhausted: too many hold it.
    [[nodiscard]] absl::Status keep() {
        if (holds_) {
            return absl::OkStatus();
        }
        absl::Status s = detail::hold(handle_, handle_of<Object>::text);
        holds_ = s.ok();
        return s;
    }

    [[nodiscard]] explicit operator bool() const noexcept { return handle_ != 0; }
    [[nodiscard]] Object* operator->() const noexcept { return object_; }
    [[nodiscard]] Object& operator*() const noexcept { return *object_; }

 private:
    template <class O>
    friend absl::StatusOr<pinned<O>> pin(typename handle_of<O>::type* handle);
    pinned(std::uint64_t handle, Object* o) noexcept : handle_(handle), object_(o) {}

    std::uint64_t handle_ = 0;
    Object* object_ = nullptr;
    bool holds_ = false;
};

/// \return kNotFound: closed, foreign or NULL.
template <class Object>
[[nodiscard]] absl::StatusOr<pinned<Object>> pin(typename handle_of<Object>::type* handle) {
    const auto number = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(handle));
    object* const o = detail::pin(number, handle_of<Object>::kind);
    if (o == nullptr) {
        return detail::unknown(handle_of<Object>::text);
    }
    return pinned<Object>(number, static_cast<Object*>(o));
}

/// Holds what a handle names for another object; NULL names nothing.
template <class Object>
[[nodiscard]] absl::Status keep(typename handle_of<Object>::type* handle, pinned<Object>& out) {
    if (handle == nullptr) {
        return absl::OkStatus();
    }
    auto found = pin<Object>(handle);
    if (!found.ok()) {
        return found.status();
    }
    out = *std::move(found);
    return out.keep();
}

/// Gives an object a handle. \return kResourceExhausted, and the object is destroyed.
template <class Object>
[[nodiscard]] absl::Status publish(std::unique_ptr<Object> o,
                                   typename handle_of<Object>::type*& out) {
    const absl::StatusOr<std::uint64_t> handle = detail::add(handle_of<Object>::kind, std::move(o));
    if (handle.ok()) {
        out = reinterpret_cast<typename handle_of<Object>::type*>(
            static_cast<std::uintptr_t>(*handle));
    }
    return handle.status();
}

/// Ends an object; NULL is no error. Waits until no call uses it.
/// \return kNotFound; kFailedPrecondition: another object holds it, or inside a callback.
template <class Object>
[[nodiscard]] absl::Status close(typename handle_of<Object>::type* handle) {
    return handle == nullptr
               ? absl::OkStatus()
               : detail::close(static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(handle)),
                               handle_of<Object>::kind, handle_of<Object>::text);
}
///@}

}  // namespace sluice::capi
