#include "server/config/keys.hpp"

namespace oddjob::server::config {

const Keys& keys() {
  static const Keys all = [] {
    Keys out;
    for (auto* section : {listen_keys, database_keys, kubernetes_keys, auth_keys, identity_keys, runs_keys,
                          hooks_keys, limits_keys, images_keys, audit_keys, retention_keys, log_keys}) {
      auto rows = section();
      out.insert(out.end(), std::make_move_iterator(rows.begin()), std::make_move_iterator(rows.end()));
    }
    return out;
  }();
  return all;
}

}  // namespace oddjob::server::config
