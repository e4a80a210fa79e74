// SPDX-License-Identifier: Apache-2.0
// The macro of LMCache's header of this name, written from its contract: buffers come as
// memoryviews, completions go as (future id, ok, error, bools or None), and the interpreter's lock
// is not held meanwhile.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "connector_interface.h"

namespace lmcache_stub {

namespace py = pybind11;

template <class C>
using move_call = std::uint64_t (C::*)(const std::vector<std::string>&, const std::vector<void*>&,
                                       const std::vector<std::size_t>&, std::size_t);

template <class C>
auto bind_move(move_call<C> call) {
    return [call](C& self, const std::vector<std::string>& keys, const py::list& views) {
        std::vector<void*> at;
        std::vector<std::size_t> size;
        for (const auto& view : views) {
            const py::buffer_info info = py::reinterpret_borrow<py::buffer>(view).request();
            at.push_back(info.ptr);
            size.push_back(static_cast<std::size_t>(info.size));
        }
        const py::gil_scoped_release unlocked;
        return (self.*call)(keys, at, size, size.empty() ? 0 : size[0]);
    };
}

template <class C>
auto bind_drain() {
    return [](C& self) {
        std::vector<lmcache::connector::Completion> ended;
        {
            const py::gil_scoped_release unlocked;
            ended = self.drain_completions();
        }
        py::list out;
        for (const auto& c : ended) {
            py::object each = py::none();
            if (!c.result_bytes.empty()) {
                py::list bools;
                for (const std::uint8_t b : c.result_bytes) {
                    bools.append(py::bool_(b != 0));
                }
                each = std::move(bools);
            }
            out.append(py::make_tuple(c.future_id, c.ok, c.error, each));
        }
        return out;
    };
}

}  // namespace lmcache_stub

#define LMCACHE_BIND_CONNECTOR_METHODS(C)                                          \
    .def("event_fd", &C::event_fd)                                                 \
        .def("submit_batch_get", lmcache_stub::bind_move<C>(&C::submit_batch_get)) \
        .def("submit_batch_set", lmcache_stub::bind_move<C>(&C::submit_batch_set)) \
        .def("submit_batch_exists", &C::submit_batch_exists,                       \
             pybind11::call_guard<pybind11::gil_scoped_release>())                 \
        .def("submit_batch_delete", &C::submit_batch_delete,                       \
             pybind11::call_guard<pybind11::gil_scoped_release>())                 \
        .def("drain_completions", lmcache_stub::bind_drain<C>())                   \
        .def("close", &C::close, pybind11::call_guard<pybind11::gil_scoped_release>())
