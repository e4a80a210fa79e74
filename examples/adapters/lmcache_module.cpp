// SPDX-License-Identifier: Apache-2.0
// The Python module that LMCache loads: sluice_lmcache.SluiceConnector(**adapter_params). LMCache's
// macro binds the six methods; they let go of the interpreter's lock.
#include <connector_pybind_utils.h>

#include <memory>
#include <string>
#include <utility>

#include "lmcache_connector.hpp"

PYBIND11_MODULE(sluice_lmcache, m) {
    using sluice_adapters::lmcache_connector;
    pybind11::class_<lmcache_connector>(m, "SluiceConnector")
        .def(pybind11::init([](std::string nodes, std::string secret_file, std::string name_space,
                               std::uint32_t replicas, std::uint32_t connections,
                               std::uint64_t capacity) {
                 return std::make_unique<lmcache_connector>(sluice_adapters::store_options{
                     std::move(nodes), std::move(secret_file), std::move(name_space), replicas,
                     connections, capacity});
             }),
             pybind11::arg("nodes") = "memory", pybind11::arg("secret_file") = "",
             pybind11::arg("namespace") = "", pybind11::arg("replicas") = 0,
             pybind11::arg("connections") = 0, pybind11::arg("capacity") = 0)
            LMCACHE_BIND_CONNECTOR_METHODS(lmcache_connector);
}
