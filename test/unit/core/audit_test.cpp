// One link of the audit chain, as docs/formats/audit.md has it.
#include "core/audit.hpp"

#include <gtest/gtest.h>

#include "core/digest.hpp"

namespace oddjob {
namespace {

AuditEvent event() {
  AuditEvent e;
  e.seq = 7;
  e.time = Time(std::chrono::seconds(1'767'323'045));
  e.type = "run.requested";
  e.actor = "ann";
  e.run_id = "aaaaaaaaaaaaaaaaaaaa";
  e.detail = {{"z", 1}, {"a", "é"}};
  e.prev = kAuditGenesis;
  e.hash = audit_hash(e);
  return e;
}

TEST(AuditHash, IsOverTheCanonicalTextOfAllButItself) {
  const auto e = event();
  EXPECT_EQ(e.hash,
            sha256_hex(R"({"actor":"ann","detail":{"a":"é","z":1},"prev":")" + std::string(kAuditGenesis) +
                       R"(","run":"aaaaaaaaaaaaaaaaaaaa","seq":7,"time":"2026-01-02T03:04:05.000000Z",)"
                       R"("type":"run.requested"})"));
}

TEST(AuditHash, ChangesWithEveryFieldAndNotWithTheOrderOfKeys) {
  const std::vector<std::function<void(AuditEvent&)>> changes = {
      [](auto& e) { ++e.seq; },
      [](auto& e) { e.time += std::chrono::microseconds(1); },
      [](auto& e) { e.type = "run.refused"; },
      [](auto& e) { e.actor = "bob"; },
      [](auto& e) { e.run_id.clear(); },
      [](auto& e) { e.detail["z"] = 2; },
      [](auto& e) { e.detail["new"] = nullptr; },
      [](auto& e) { e.prev[0] = '1'; },
  };
  for (const auto& change : changes) {
    auto e = event();
    change(e);
    EXPECT_NE(audit_hash(e), e.hash);
  }
  auto same = event();
  same.detail = {{"a", "é"}, {"z", 1}};
  same.hash = "anything";
  EXPECT_EQ(audit_hash(same), event().hash);
}

TEST(AuditJson, CarriesEveryField) {
  const auto o = to_json(event());
  for (const auto* key : {"seq", "time", "type", "actor", "run", "detail", "prev", "hash"})
    EXPECT_TRUE(o.contains(key)) << key;
}

}  // namespace
}  // namespace oddjob
