#include "runs/workload_reads.hpp"

#include <gtest/gtest.h>

#include "mini_cluster.hpp"

namespace oddjob::runs::testing {
namespace {

class WorkloadReadsTest : public ::testing::Test {
 public:
  WorkloadReadsTest() { set("as it was at first"); }
  ~WorkloadReadsTest() override { cluster.stop(); }

  void set(const char* word) { cluster.put_deployment({{"word", word}}); }
  void ask() {
    loop.spawn("test.ask", [](WorkloadReadsTest* self) -> net::Task<> {
      const WorkloadRef pay{WorkloadKind::deployment, "shop", "pay"};
      auto reading = self->reads.read(pay);
      const auto got = co_await std::move(reading);
      self->answers.push_back(got ? std::string(get_string(**got, {"metadata", "annotations", "word"}))
                                  : got.error().code);
    }(this));
  }
  void wait_for(std::size_t count) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (answers.size() < count && std::chrono::steady_clock::now() < end)
      loop.block_on(net::sleep_for(Duration(5)));
    ASSERT_EQ(answers.size(), count);
  }
  // What happens while the API server has the n-th question, before it looks.
  void at_read(int n, std::function<Fault()> what) {
    cluster.fault = [this, n, what = std::move(what)](const net::ServerRequest&, const std::string&) {
      return ++asked == n ? what() : Fault{};
    };
  }

  net::Loop loop;
  MiniCluster cluster{loop};
  kube::Client client{loop, cluster.config(), {}};
  WorkloadReads reads{client};
  std::vector<std::string> answers;
  int asked = 0;
};

TEST_F(WorkloadReadsTest, ThoseWhoAskWhileOneIsUnderWayShareTheNext) {
  at_read(1, [&] {
    for (int i = 0; i < 50; ++i) ask();
    return Fault{};
  });
  ask();
  wait_for(51);
  EXPECT_EQ(asked, 2);
  ask();
  wait_for(52);
  EXPECT_EQ(asked, 3) << "and nothing is kept";
}

TEST_F(WorkloadReadsTest, NobodyIsGivenWhatWasReadBeforeTheyAsked) {
  // Begun before the change, answered after it: whoever asks in between must see the change.
  at_read(1, [&] {
    ask();
    loop.spawn("test.change", [](WorkloadReadsTest* self) -> net::Task<> {
      self->set("changed");
      co_return;
    }(this));
    return Fault{};
  });
  ask();
  wait_for(2);
  EXPECT_EQ(answers, (std::vector<std::string>{"as it was at first", "changed"}));
}

TEST_F(WorkloadReadsTest, OneThatHangsHoldsNobodyUpForLong) {
  at_read(1, [&] {
    ask();
    ask();
    return Fault{Fault::Kind::hang_before};
  });
  ask();
  wait_for(2);
  EXPECT_EQ(answers, std::vector<std::string>(2, "as it was at first"));
  EXPECT_EQ(asked, 2);
}

TEST_F(WorkloadReadsTest, AnErrorIsOfThoseWhoSharedTheReadOnly) {
  at_read(2, [&] { return Fault{Fault::Kind::answer, 403, "Forbidden", "no"}; });
  ask();
  wait_for(1);
  ask();
  wait_for(2);
  ask();
  wait_for(3);
  EXPECT_EQ(answers,
            (std::vector<std::string>{"as it was at first", "kube.forbidden", "as it was at first"}));
}

TEST_F(WorkloadReadsTest, AfterTheEndNothingIsAsked) {
  at_read(1, [&] {
    ask();
    loop.post([this] { reads.stop(); });
    return Fault{};
  });
  ask();
  wait_for(2);
  EXPECT_EQ(answers, (std::vector<std::string>{"as it was at first", "runs.stopping"}));
  EXPECT_EQ(asked, 1);
}

}  // namespace
}  // namespace oddjob::runs::testing
