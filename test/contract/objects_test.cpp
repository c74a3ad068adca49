// Objects: create, read, change, list, watch, delete.
#include "contract.hpp"

namespace oddjob::contract {
namespace {

class Objects : public Contract {};

TEST_F(Objects, ACreatedObjectComesBackWithWhatTheServerAdds) {
  const auto made = create(resources::config_maps, config_map("a"));
  EXPECT_EQ(name_of(made), "a");
  EXPECT_EQ(get_string(made, {"metadata", "namespace"}), ns());
  EXPECT_FALSE(get_string(made, {"metadata", "uid"}).empty());
  EXPECT_FALSE(version_of(made).empty());
  EXPECT_FALSE(get_string(made, {"metadata", "creationTimestamp"}).empty());
  EXPECT_EQ(get_string(made, {"kind"}), "ConfigMap");
  const auto read = get(resources::config_maps, "a");
  ASSERT_TRUE(read);
  EXPECT_EQ(version_of(*read), version_of(made));
  EXPECT_EQ(get_string(*read, {"data", "key"}), "v");
}

TEST_F(Objects, ANameThatIsTakenIsAlreadyExists) {
  create(resources::config_maps, config_map("a"));
  const auto again = try_create(resources::config_maps, config_map("a", "other"));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, "kube.already_exists");
  EXPECT_NE(again.error().message.find("\"a\""), std::string::npos) << again.error().message;
  EXPECT_EQ(get_string(*get(resources::config_maps, "a"), {"data", "key"}), "v");
}

TEST_F(Objects, GenerateNameMakesDistinctNames) {
  json::value o = config_map("x");
  o.as_object()["metadata"] = json::object{{"generateName", "gen-"}};
  const auto a = create(resources::config_maps, o);
  const auto b = create(resources::config_maps, o);
  EXPECT_TRUE(name_of(a).starts_with("gen-"));
  EXPECT_GT(name_of(a).size(), 4U);
  EXPECT_NE(name_of(a), name_of(b));
}

TEST_F(Objects, WhatIsMissingIsNotFoundAndNamed) {
  const auto v = run(api().get(resources::jobs, ns(), "nope"));
  ASSERT_FALSE(v);
  EXPECT_EQ(v.error().code, "kube.not_found");
  EXPECT_NE(v.error().message.find("nope"), std::string::npos);
  const auto in_no_namespace =
      run(api().create(resources::config_maps, "no-such-namespace-here", config_map("a")));
  ASSERT_FALSE(in_no_namespace);
  EXPECT_EQ(in_no_namespace.error().code, "kube.not_found");
}

TEST_F(Objects, AnInvalidObjectIsRefusedNamingTheField) {
  json::value bad_name = config_map("Not_A_Name");
  const auto named = try_create(resources::config_maps, bad_name);
  ASSERT_FALSE(named);
  EXPECT_EQ(named.error().code, "kube.invalid");
  EXPECT_NE(named.error().message.find("metadata.name"), std::string::npos) << named.error().message;

  json::value no_restart = job("j", "true");
  no_restart.at("spec").at("template").at("spec").as_object().erase("restartPolicy");
  const auto refused = try_create(resources::jobs, no_restart);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "kube.invalid");
  EXPECT_NE(refused.error().message.find("restartPolicy"), std::string::npos) << refused.error().message;
}

TEST_F(Objects, DryRunChecksAndAnswersButMakesNothing) {
  kube::WriteOptions dry;
  dry.dry_run = true;
  const auto shown = try_create(resources::jobs, job("dry", "true"), dry);
  ASSERT_TRUE(shown) << shown.error().message;
  EXPECT_EQ(name_of(*shown), "dry");
  EXPECT_FALSE(get(resources::jobs, "dry"));
  const auto pod_shown = try_create(resources::pods, pod("dry", "true"), dry);
  ASSERT_TRUE(pod_shown) << pod_shown.error().message;
  EXPECT_FALSE(get(resources::pods, "dry"));

  create(resources::config_maps, config_map("a"));
  const auto patched = run(api().patch(resources::config_maps, ns(), "a", kube::PatchType::merge,
                                       json::object{{"data", {{"key", "dry"}}}}, dry));
  ASSERT_TRUE(patched) << patched.error().message;
  EXPECT_EQ(get_string(*patched, {"data", "key"}), "dry");
  EXPECT_EQ(get_string(*get(resources::config_maps, "a"), {"data", "key"}), "v");
  EXPECT_EQ(try_create(resources::config_maps, config_map("a"), dry).error().code, "kube.already_exists");
}

TEST_F(Objects, AnUpdateFromAnOldVersionIsAConflict) {
  const auto old = create(resources::config_maps, config_map("a"));
  patch(resources::config_maps, "a", json::object{{"data", {{"key", "new"}}}});
  json::value mine = old;
  mine.at("data").as_object()["key"] = "mine";
  const auto r = run(api().update(resources::config_maps, ns(), "a", mine));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "kube.conflict");

  json::value fresh = *get(resources::config_maps, "a");
  fresh.at("data").as_object()["key"] = "mine";
  const auto good = run(api().update(resources::config_maps, ns(), "a", fresh));
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_NE(version_of(*good), version_of(fresh));
}

TEST_F(Objects, APatchThatNamesAnOldVersionIsAConflict) {
  const auto old = create(resources::config_maps, config_map("a"));
  patch(resources::config_maps, "a", json::object{{"data", {{"key", "new"}}}});
  json::value p =
      json::object{{"metadata", {{"resourceVersion", version_of(old)}}}, {"data", {{"key", "mine"}}}};
  const auto r = run(api().patch(resources::config_maps, ns(), "a", kube::PatchType::merge, p));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "kube.conflict");
  EXPECT_EQ(get_string(*get(resources::config_maps, "a"), {"data", "key"}), "new");
}

TEST_F(Objects, MergePatchSetsAndRemovesKeys) {
  create(resources::config_maps, config_map("a"));
  const auto v =
      patch(resources::config_maps, "a", json::object{{"data", {{"key", nullptr}, {"other", "x"}}}});
  EXPECT_EQ(find(v, {"data", "key"}), nullptr);
  EXPECT_EQ(get_string(v, {"data", "other"}), "x");
}

TEST_F(Objects, JsonPatchTestsBeforeItChanges) {
  create(resources::config_maps, config_map("a"));
  const auto op = [](std::string_view what, std::string_view path, std::string_view value) -> json::value {
    return {{"op", what}, {"path", path}, {"value", value}};
  };
  const auto good =
      run(api().patch(resources::config_maps, ns(), "a", kube::PatchType::json_patch,
                      json::array{op("test", "/data/key", "v"), op("replace", "/data/key", "w")}));
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_EQ(get_string(*good, {"data", "key"}), "w");
  const auto bad =
      run(api().patch(resources::config_maps, ns(), "a", kube::PatchType::json_patch,
                      json::array{op("test", "/data/key", "v"), op("replace", "/data/key", "x")}));
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, "kube.invalid");
  EXPECT_EQ(get_string(*get(resources::config_maps, "a"), {"data", "key"}), "w");
}

TEST_F(Objects, StrategicPatchMergesContainersByName) {
  json::value deployment =
      json::object{{"metadata", {{"name", "d"}}},
                   {"spec",
                    {{"replicas", 0},
                     {"selector", {{"matchLabels", {{"app", "d"}}}}},
                     {"template",
                      {{"metadata", {{"labels", {{"app", "d"}}}}},
                       {"spec",
                        {{"containers", json::array{json::object{{"name", "a"}, {"image", image()}},
                                                    json::object{{"name", "b"}, {"image", image()}}}}}}}}}}};
  create(resources::deployments, deployment);
  json::value p = json::object{
      {"spec",
       {{"template",
         {{"spec", {{"containers", json::array{json::object{{"name", "b"}, {"image", "changed:1"}}}}}}}}}}};
  const auto v = run(api().patch(resources::deployments, ns(), "d", kube::PatchType::strategic, p));
  ASSERT_TRUE(v) << v.error().message;
  const json::array* containers = find_array(*v, {"spec", "template", "spec", "containers"});
  ASSERT_NE(containers, nullptr);
  std::map<std::string, std::string> images;
  for (const auto& c : *containers) images[std::string(get_string(c, {"name"}))] = get_string(c, {"image"});
  EXPECT_EQ(images, (std::map<std::string, std::string>{{"a", image()}, {"b", "changed:1"}}));
}

// ---- lists ------------------------------------------------------------------

TEST_F(Objects, ListsComeInPagesOfOneSnapshot) {
  for (int i = 0; i < 7; ++i) create(resources::config_maps, config_map("page-" + std::to_string(i)));
  kube::ListOptions o;
  o.name_space = ns();
  o.page_size = 3;
  std::vector<std::string> names;
  int pages = 0;
  kube::Client::OnPage on_page = [&](std::vector<json::value> items, bool restart) {
    ++pages;
    EXPECT_EQ(restart, pages == 1);
    EXPECT_LE(items.size(), 3U);
    for (const auto& v : items) names.emplace_back(name_of(v));
    // Made while the list is read: not part of its snapshot.
    if (pages == 1) {
      auto late = [](kube::Client& c, std::string ns, json::value v) -> net::Task<> {
        auto making = c.create(resources::config_maps, ns, std::move(v));
        (void)co_await std::move(making);
      };
      loop().spawn("late", late(api(), ns(), config_map("page-9")));
    }
  };
  const auto version = run(api().list_pages(resources::config_maps, o, on_page));
  ASSERT_TRUE(version) << version.error().message;
  EXPECT_GE(pages, 3);
  EXPECT_FALSE(version->empty());
  const auto mine =
      std::count_if(names.begin(), names.end(), [](const auto& n) { return n.starts_with("page-"); });
  EXPECT_TRUE(mine == 7 || mine == 8) << mine;
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size()) << "an item twice";
}

TEST_F(Objects, PagesNameTheSameVersionAndWhatRemains) {
  for (int i = 0; i < 5; ++i) create(resources::config_maps, config_map("p" + std::to_string(i)));
  const auto path = "/api/v1/namespaces/" + ns() + "/configmaps?limit=2";
  const auto first = run(api().raw("GET", path));
  ASSERT_TRUE(first);
  const auto a = parse_json(first->body, "page").value();
  const auto next = get_string(a, {"metadata", "continue"});
  ASSERT_FALSE(next.empty());
  create(resources::config_maps, config_map("between"));
  const auto second = run(api().raw("GET", path + "&continue=" + net::percent_encode(next)));
  ASSERT_TRUE(second);
  const auto b = parse_json(second->body, "page").value();
  EXPECT_EQ(version_of(a), version_of(b));
  EXPECT_EQ(get_string(a, {"kind"}), "ConfigMapList");
}

TEST_F(Objects, SelectorsNarrowLists) {
  for (const std::string_view n : {"a", "b", "c"}) {
    json::value v = config_map(n);
    v.at("metadata").as_object()["labels"] =
        json::object{{"letter", n}, {"kind", n == "c" ? "last" : "early"}};
    create(resources::config_maps, v);
  }
  EXPECT_EQ(list(resources::config_maps, "kind=early").size(), 2U);
  EXPECT_EQ(list(resources::config_maps, "letter in (a,c)").size(), 2U);
  EXPECT_EQ(list(resources::config_maps, "letter,letter!=a").size(), 2U);
  EXPECT_EQ(list(resources::config_maps, "letter notin (a),kind=early").size(), 1U);
  EXPECT_EQ(list(resources::config_maps, "!letter,kind").size(), 0U);
  const auto by_name = list(resources::config_maps, "", "metadata.name=b");
  ASSERT_EQ(by_name.size(), 1U);
  EXPECT_EQ(name_of(by_name[0]), "b");
}

TEST_F(Objects, AMalformedSelectorIsRefused) {
  kube::ListOptions o;
  o.name_space = ns();
  o.label_selector = "a in (";
  const auto r = run(api().list(resources::config_maps, o));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, "kube.invalid");
}

TEST_F(Objects, MetadataOnlyListsHoldNoMore) {
  create(resources::config_maps, config_map("a", std::string(1000, 'x')));
  kube::ListOptions o;
  o.name_space = ns();
  o.metadata_only = true;
  o.field_selector = "metadata.name=a";
  const auto r = run(api().list(resources::config_maps, o));
  ASSERT_TRUE(r) << r.error().message;
  ASSERT_EQ(r->items.size(), 1U);
  EXPECT_EQ(get_string(r->items[0], {"kind"}), "ConfigMap");
  EXPECT_FALSE(get_string(r->items[0], {"metadata", "uid"}).empty());
}

// ---- watches ----------------------------------------------------------------

TEST_F(Objects, AWatchTellsWhatHappenedAfterItsVersion) {
  create(resources::config_maps, config_map("before"));
  kube::ListOptions o;
  o.name_space = ns();
  const auto start = run(api().list(resources::config_maps, o));
  ASSERT_TRUE(start);
  create(resources::config_maps, config_map("a"));
  const auto seen = watch(
      resources::config_maps, o, start->resource_version, [](const auto& s) { return s.size() >= 4; }, 30,
      [this] {
        patch(resources::config_maps, "a", json::object{{"data", {{"key", "w"}}}});
        remove(resources::config_maps, "a");
        create(resources::config_maps, config_map("b"));
      });
  ASSERT_GE(seen.size(), 4U);
  const std::pair<std::string, std::string> expected[] = {
      {"ADDED", "a"}, {"MODIFIED", "a"}, {"DELETED", "a"}, {"ADDED", "b"}};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(seen[i].type, expected[i].first) << i;
    EXPECT_EQ(name_of(seen[i].object), expected[i].second) << i;
    EXPECT_EQ(get_string(seen[i].object, {"kind"}), "ConfigMap");
  }
  EXPECT_EQ(get_string(seen[1].object, {"data", "key"}), "w");
  EXPECT_NE(version_of(seen[2].object), version_of(seen[1].object)) << "a deletion has a version of its own";
}

TEST_F(Objects, AWatchWithASelectorSeesObjectsComeAndGo) {
  kube::ListOptions o;
  o.name_space = ns();
  o.label_selector = "on=yes";
  const auto start = run(api().list(resources::config_maps, o));
  ASSERT_TRUE(start);
  create(resources::config_maps, config_map("a"));
  const auto label = [](json::value v) { return json::object{{"metadata", {{"labels", {{"on", v}}}}}}; };
  patch(resources::config_maps, "a", label("yes"));
  patch(resources::config_maps, "a", label(nullptr));
  const auto seen =
      watch(resources::config_maps, o, start->resource_version, [](const auto& s) { return s.size() >= 2; });
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].type, "ADDED");
  EXPECT_EQ(seen[1].type, "DELETED");
}

TEST_F(Objects, AMetadataOnlyWatchSendsNoMore) {
  kube::ListOptions o;
  o.name_space = ns();
  const auto start = run(api().list(resources::config_maps, o));
  ASSERT_TRUE(start);
  create(resources::config_maps, config_map("a"));
  o.metadata_only = true;
  const auto seen =
      watch(resources::config_maps, o, start->resource_version, [](const auto& s) { return !s.empty(); });
  ASSERT_EQ(seen.size(), 1U);
  EXPECT_EQ(get_string(seen[0].object, {"kind"}), "PartialObjectMetadata");
  EXPECT_EQ(name_of(seen[0].object), "a");
  EXPECT_EQ(find(seen[0].object, {"data"}), nullptr);
}

TEST_F(Objects, AWatchEndsByItselfAtItsTimeout) {
  kube::ListOptions o;
  o.name_space = ns();
  const auto start = run(api().list(resources::config_maps, o));
  ASSERT_TRUE(start);
  auto stream =
      run(api().open_watch(resources::config_maps, o, start->resource_version, std::chrono::seconds(2)));
  ASSERT_TRUE(stream) << stream.error().message;
  const auto began = std::chrono::steady_clock::now();
  while (true) {
    const auto piece = run(stream->read());
    ASSERT_TRUE(piece) << "not an end but " << piece.error().message;
    if (piece->empty()) break;
  }
  const auto took = std::chrono::steady_clock::now() - began;
  EXPECT_GE(took, std::chrono::milliseconds(900));
  EXPECT_LT(took, std::chrono::seconds(15));
}

TEST_F(Objects, BookmarksMoveTheVersionOfAQuietWatch) {
  kube::ListOptions o;
  o.name_space = ns();
  o.field_selector = "metadata.name=never-there";
  const auto start = run(api().list(resources::config_maps, o));
  ASSERT_TRUE(start);
  // Servers send one every minute or so, and shortly before the watch's timeout.
  const auto seen = watch(
      resources::config_maps, o, start->resource_version,
      [](const auto& s) { return !s.empty() && s.back().type == "BOOKMARK"; }, 12,
      [this] { create(resources::config_maps, config_map("elsewhere")); });
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.back().type, "BOOKMARK");
  EXPECT_FALSE(version_of(seen.back().object).empty());
}

TEST_F(Objects, AVersionThatIsTooOldIsExpired) {
  for (int i = 0; i < (real_cluster() ? 0 : 400); ++i) {
    json::value v = config_map("x", std::to_string(i));
    if (i == 0) {
      create(resources::config_maps, v);
    } else {
      patch(resources::config_maps, "x", json::object{{"data", {{"key", std::to_string(i)}}}});
    }
  }
  const auto seen = watch(resources::config_maps, {}, "1", [](const auto& s) { return !s.empty(); });
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen[0].type, "ERROR");
  EXPECT_EQ(get_string(seen[0].object, {"code"}), "kube.expired") << json::serialize(seen[0].object);
}

// ---- deletion -----------------------------------------------------------------

TEST_F(Objects, DeletionHonoursThePreconditionOfAUid) {
  const auto made = create(resources::config_maps, config_map("a"));
  kube::DeleteOptions o;
  o.uid = "00000000-0000-0000-0000-000000000000";
  const auto refused = run(api().remove(resources::config_maps, ns(), "a", o));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "kube.conflict");
  ASSERT_TRUE(get(resources::config_maps, "a"));
  o.uid = get_string(made, {"metadata", "uid"});
  EXPECT_TRUE(run(api().remove(resources::config_maps, ns(), "a", o)));
  EXPECT_FALSE(get(resources::config_maps, "a"));
  EXPECT_TRUE(run(api().remove(resources::config_maps, ns(), "a", {}))) << "gone is what was wanted";
}

TEST_F(Objects, DependentsGoWithTheirOwner) {
  const auto owner = create(resources::config_maps, config_map("owner"));
  json::value child = config_map("child");
  child.at("metadata").as_object()["ownerReferences"] =
      json::array{json::object{{"apiVersion", "v1"},
                               {"kind", "ConfigMap"},
                               {"name", "owner"},
                               {"uid", get_string(owner, {"metadata", "uid"})}}};
  create(resources::config_maps, child);
  remove(resources::config_maps, "owner");
  EXPECT_TRUE(wait_gone(resources::config_maps, "child"));
}

TEST_F(Objects, AFinalizerKeepsAnObjectUntilItIsTaken) {
  json::value v = config_map("a");
  v.at("metadata").as_object()["finalizers"] = json::array{"oddjob.dev/test"};
  create(resources::config_maps, v);
  remove(resources::config_maps, "a");
  const auto dying = get(resources::config_maps, "a");
  ASSERT_TRUE(dying);
  EXPECT_FALSE(get_string(*dying, {"metadata", "deletionTimestamp"}).empty());
  patch(resources::config_maps, "a", json::object{{"metadata", {{"finalizers", nullptr}}}});
  EXPECT_TRUE(wait_gone(resources::config_maps, "a"));
}

TEST_F(Objects, ANamespaceTakesEverythingWithIt) {
  create(resources::config_maps, config_map("a"));
  create(resources::pods, pod("p", "sleep 600"));
  remove(resources::namespaces, ns());
  EXPECT_TRUE(until([this] { return !run(api().get(resources::pods, ns(), "p")); }));
  EXPECT_TRUE(until([this] { return !run(api().get(resources::namespaces, "", ns())); }));
}

}  // namespace
}  // namespace oddjob::contract
