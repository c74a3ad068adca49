#include "store/lease_table.hpp"

namespace oddjob::store {
namespace {

constexpr std::string_view kReplicas = "replica/";

std::int64_t micros(Duration time) { return std::chrono::microseconds(time).count(); }

// Of a run `r`: its owner has no lease. An ended one is removed before this counts.
constexpr std::string_view kFree = "NOT EXISTS (SELECT 1 FROM leases WHERE name = 'replica/' || r.owner";

}  // namespace

Result<bool> LeaseTable::take(std::string_view name, std::string_view holder, Duration time) {
  return db_.write("taking a lease", "", [&]() -> Result<bool> {
    return Query(db_.statements(),
                 "INSERT INTO leases (name, holder, expires_us) VALUES (:name, :holder, " + now() +
                     " + :time) ON CONFLICT (name) DO UPDATE SET holder = excluded.holder,"
                     " expires_us = excluded.expires_us WHERE leases.holder = excluded.holder OR"
                     " leases.expires_us <= " +
                     now())
               .in(name)
               .in(holder)
               .in(micros(time))
               .run() == 1;
  });
}

Result<bool> LeaseTable::renew(std::string_view name, std::string_view holder, Duration time) {
  return db_.write("renewing a lease", "", [&]() -> Result<bool> {
    return Query(db_.statements(), "UPDATE leases SET expires_us = " + now() +
                                       " + :time WHERE name = :name AND holder = :holder")
               .in(micros(time))
               .in(name)
               .in(holder)
               .run() == 1;
  });
}

Result<> LeaseTable::leave(std::string_view replica) {
  return db_.write("giving back leases", "", [&]() -> Result<> {
    Query(db_.statements(), "UPDATE runs SET owner = '' WHERE owner = :replica AND active = 1")
        .in(replica)
        .run();
    Query(db_.statements(), "DELETE FROM leases WHERE holder = :replica").in(replica).run();
    return {};
  });
}

// A lease that has ended is removed first, in the same transaction: its holder,
// should it wake up and renew it, either comes before or finds it gone.
Result<int> LeaseTable::claim(std::string_view replica, int most) {
  return db_.write("claiming runs", "claim_runs", [&]() -> Result<int> {
    long long mine = 0;
    Query(db_.statements(), "SELECT COUNT(*) FROM leases WHERE name = :name AND holder = :holder")
        .in(std::string(kReplicas) + std::string(replica))
        .in(replica)
        .out(mine)
        .one();
    if (mine == 0) return 0;  // one that is itself believed dead claims nothing
    Query(db_.statements(),
          "DELETE FROM leases WHERE name LIKE 'replica/%' AND holder <> :replica AND expires_us <= " + now())
        .in(replica)
        .run();
    return static_cast<int>(
        Query(db_.statements(),
              "UPDATE runs SET owner = :replica, version = version + 1 WHERE id IN (SELECT r.id FROM runs r"
              " WHERE r.active = 1 AND " +
                  std::string(kFree) + ") ORDER BY r.id LIMIT :most" +
                  std::string(db_.dialect().lock_free_rows()) + ")")
            .in(replica)
            .in(static_cast<std::int64_t>(most))
            .run());
  });
}

Result<std::vector<LiveRun>> LeaseTable::live_runs() {
  return db_.read("looking at live runs", [&]() -> Result<std::vector<LiveRun>> {
    std::vector<LiveRun> out;
    LiveRun run;
    long long version = 0, length = 0, free = 0;
    Query q(db_.statements(), "SELECT r.id, r.owner, r.version, l.length, CASE WHEN " + std::string(kFree) +
                                  " AND expires_us > " + now() +
                                  ") THEN 1 ELSE 0 END FROM runs r JOIN run_logs l ON l.run_id = r.id"
                                  " WHERE r.active = 1 ORDER BY r.id");
    q.out(run.id).out(run.owner).out(version).out(length).out(free);
    while (q.next()) {
      run.version = version;
      run.log_bytes = length;
      run.free = free != 0;
      out.push_back(run);
    }
    return out;
  });
}

}  // namespace oddjob::store
