// What comes from outside as text: names of images, challenges, manifests,
// credentials. Tables.
#include <gtest/gtest.h>

#include "core/digest.hpp"
#include "image/registry/challenge.hpp"
#include "image/registry/credentials.hpp"
#include "image/registry/hasher.hpp"
#include "image/registry/manifest.hpp"
#include "image/registry/reference.hpp"

namespace oddjob::image {
namespace {

const std::string kHex(64, 'a');
const std::string kDigest = "sha256:" + kHex;

TEST(Reference, IsReadAsContainerEnginesReadIt) {
  struct Row {
    std::string text, registry, repository, tag, digest;
  };
  const Row rows[] = {
      {"nginx", "docker.io", "library/nginx", "latest", ""},
      {"nginx:1.25", "docker.io", "library/nginx", "1.25", ""},
      {"bitnami/redis", "docker.io", "bitnami/redis", "latest", ""},
      {"docker.io/nginx", "docker.io", "library/nginx", "latest", ""},
      {"index.docker.io/a/b:c", "docker.io", "a/b", "c", ""},
      {"localhost/app", "localhost", "app", "latest", ""},
      {"localhost:5000/app:v1", "localhost:5000", "app", "v1", ""},
      {"127.0.0.1:5000/a/b/c", "127.0.0.1:5000", "a/b/c", "latest", ""},
      {"[::1]:5000/app:x", "[::1]:5000", "app", "x", ""},
      {"registry.example.com/team/app@" + kDigest, "registry.example.com", "team/app", "", kDigest},
      {"registry.example.com/team/app:1@" + kDigest, "registry.example.com", "team/app", "1", kDigest},
      {"gcr.io/p/a__b/c-d.e", "gcr.io", "p/a__b/c-d.e", "latest", ""},
      {"Registry/app", "Registry", "app", "latest", ""},
  };
  for (const auto& row : rows) {
    const auto r = parse_reference(row.text);
    ASSERT_TRUE(r) << row.text << ": " << r.error().message;
    EXPECT_EQ(*r, (Reference{row.registry, row.repository, row.tag, row.digest})) << row.text;
    const auto again = parse_reference(to_string(*r));
    ASSERT_TRUE(again) << to_string(*r);
    EXPECT_EQ(*again, *r);
  }
}

TEST(Reference, RefusesWhatIsNone) {
  for (const std::string& bad : std::vector<std::string>{"",
                                                         "UPPER",
                                                         "a//b",
                                                         "/a",
                                                         "a/",
                                                         "a:",
                                                         "a:-x",
                                                         "a:b c",
                                                         "a@sha256:12",
                                                         "a@md5:" + kHex,
                                                         "a..b",
                                                         "a/_b",
                                                         "-a",
                                                         "reg.io:port/a",
                                                         "reg.io/",
                                                         "a\n",
                                                         "a:" + std::string(129, 'x'),
                                                         std::string(256, 'a'),
                                                         "a@sha256:" + std::string(64, 'A'),
                                                         "..%2f..",
                                                         "reg.io/../x"}) {
    const auto r = parse_reference(bad);
    ASSERT_FALSE(r) << bad;
    EXPECT_EQ(r.error().code, "image.bad_reference") << bad;
  }
}

TEST(Reference, LoopbackIsLoopback) {
  for (const auto* host : {"localhost", "localhost:5000", "127.0.0.1", "127.1.2.3:80", "[::1]:5000", "::1"})
    EXPECT_TRUE(is_loopback(host)) << host;
  for (const auto* host :
       {"localhost.example.com", "127.evil.com", "10.0.0.1", "1270.0.0.1", "example.com:5000"})
    EXPECT_FALSE(is_loopback(host)) << host;
}

TEST(Challenge, AllFormsOfTheHeader) {
  const auto bearer = parse_challenges(
      R"(Bearer realm="https://auth.example.com/token",service="registry",scope="repository:a/b:pull,push")");
  ASSERT_EQ(bearer.size(), 1U);
  EXPECT_EQ(bearer[0].scheme, "bearer");
  EXPECT_EQ(bearer[0].realm, "https://auth.example.com/token");
  EXPECT_EQ(bearer[0].service, "registry");
  EXPECT_EQ(bearer[0].scope, "repository:a/b:pull,push");
  const auto two = parse_challenges(R"(basic realm="a \"b\", c", BEARER realm=https , scope = "x")");
  ASSERT_EQ(two.size(), 2U);
  EXPECT_EQ(two[0].realm, "a \"b\", c");
  EXPECT_EQ(two[1].scheme, "bearer");
  EXPECT_EQ(two[1].scope, "x");
  EXPECT_EQ(parse_challenges("Negotiate").size(), 1U);
  for (const std::string& bad :
       std::vector<std::string>{"", ",,,", "=x", "Bearer realm=\"open", std::string(9000, 'a'), "\x01"})
    EXPECT_LE(parse_challenges(bad).size(), 1U) << bad;
}

TEST(Token, IsTakenUnderEitherName) {
  EXPECT_EQ(parse_token(R"({"token":"abc","expires_in":300})", "r")->value, "abc");
  EXPECT_EQ(parse_token(R"({"token":"abc","expires_in":300})", "r")->lifetime, std::chrono::seconds(300));
  EXPECT_EQ(parse_token(R"({"access_token":"x"})", "r")->lifetime, std::chrono::seconds(60));
  for (const auto* bad : {"", "[]", "{}", R"({"token":""})", R"({"token":"a b"})", R"({"token":"a\r\nX: y"})",
                          R"({"token":5})"}) {
    const auto t = parse_token(bad, "https://auth");
    ASSERT_FALSE(t) << bad;
    EXPECT_EQ(t.error().code, "image.bad_token");
  }
}

std::string layer(const std::string& type, const std::string& digest = kDigest) {
  return R"({"mediaType":")" + type + R"(","digest":")" + digest + R"(","size":5})";
}
std::string manifest(const std::string& layers,
                     const std::string& type = "application/vnd.oci.image.manifest.v1+json") {
  return R"({"schemaVersion":2,"mediaType":")" + type + R"(","config":)" +
         layer("application/vnd.oci.image.config.v1+json") + R"(,"layers":[)" + layers + "]}";
}

TEST(Manifest, BothKindsAndAllLayers) {
  const auto oci =
      parse_manifest(manifest(layer("application/vnd.oci.image.layer.v1.tar") + "," +
                              layer("application/vnd.oci.image.layer.v1.tar+zstd") + "," +
                              layer("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")),
                     "application/vnd.oci.image.manifest.v1+json; charset=utf-8", "x");
  ASSERT_TRUE(oci) << oci.error().message;
  const auto& m = std::get<Manifest>(*oci);
  ASSERT_EQ(m.layers.size(), 3U);
  EXPECT_FALSE(m.layers[1].foreign);
  EXPECT_TRUE(m.layers[2].foreign);
  const auto docker =
      parse_manifest(manifest(layer("application/vnd.docker.image.rootfs.diff.tar.gzip") + "," +
                                  layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
                              "application/vnd.docker.distribution.manifest.v2+json"),
                     "", "x");
  ASSERT_TRUE(docker) << docker.error().message;
  EXPECT_TRUE(std::get<Manifest>(*docker).layers[1].foreign);
}

TEST(Manifest, WhatIsWrongIsNamed) {
  const std::string oci = "application/vnd.oci.image.manifest.v1+json";
  const std::string tar = layer("application/vnd.oci.image.layer.v1.tar");
  struct Row {
    std::string body, type, code;
  };
  const Row rows[] = {
      {"", oci, "image.bad_manifest"},
      {"[1]", oci, "image.bad_manifest"},
      {R"({"schemaVersion":1,"fsLayers":[]})", "", "image.schema1"},
      {R"({"schemaVersion":3,"layers":[]})", oci, "image.bad_manifest"},
      {R"({"schemaVersion":2,"layers":[]})", oci, "image.bad_manifest"},
      {manifest(layer("application/vnd.oci.image.layer.v1.tar", "sha256:12")), oci, "image.bad_manifest"},
      {manifest(layer("application/vnd.cncf.helm.chart.content.v1")), oci, "image.not_an_image"},
      {manifest(tar), "application/vnd.oci.image.index.v1+json", "image.bad_manifest"},
      {R"({"schemaVersion":2,"layers":[],"manifests":[]})", "", "image.bad_manifest"},
      {R"({"schemaVersion":2,"config":{"digest":")" + kDigest + R"(","size":-1},"layers":[]})", oci,
       "image.bad_manifest"},
      {std::string(kMaxManifest + 1, ' '), oci, "image.bad_manifest"},
  };
  for (const auto& row : rows) {
    const auto m = parse_manifest(row.body, row.type, "the image");
    ASSERT_FALSE(m) << row.body.substr(0, 200);
    EXPECT_EQ(m.error().code, row.code) << row.body.substr(0, 200);
    EXPECT_NE(m.error().message.find("the image"), std::string::npos);
  }
}

std::string entry(const std::string& platform, char digit) {
  return R"({"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:)" +
         std::string(64, digit) + R"(","size":1,"platform":)" + platform + "}";
}

TEST(Platform, IsChosenAsEnginesChoose) {
  const auto parsed = parse_manifest(
      R"({"schemaVersion":2,"manifests":[)" + entry(R"({"os":"linux","architecture":"amd64"})", '1') + "," +
          entry(R"({"os":"linux","architecture":"arm64","variant":"v8"})", '2') + "," +
          entry(R"({"os":"linux","architecture":"arm","variant":"v6"})", '3') + "," +
          entry(R"({"os":"linux","architecture":"arm","variant":"v7"})", '4') + "," +
          entry(R"({"os":"unknown","architecture":"unknown"})", '5') + "," +
          entry(R"({"os":"windows","architecture":"amd64"})", '6') + "]}",
      "", "x");
  ASSERT_TRUE(parsed) << parsed.error().message;
  const auto& index = std::get<Index>(*parsed);
  const auto chosen = [&](const char* text) {
    const auto d = choose_platform(index, *parse_platform(text), "x");
    return d ? d->digest.substr(7, 1) : d.error().code;
  };
  EXPECT_EQ(chosen("linux/amd64"), "1");
  EXPECT_EQ(chosen("linux/arm64"), "2");
  EXPECT_EQ(chosen("linux/arm64/v8"), "2");
  EXPECT_EQ(chosen("linux/arm/v7"), "4");
  EXPECT_EQ(chosen("linux/arm"), "3");
  EXPECT_EQ(chosen("windows/amd64"), "6");
  EXPECT_EQ(chosen("linux/s390x"), "image.no_platform");
  EXPECT_EQ(chosen("unknown/unknown"), "image.no_platform");
  EXPECT_FALSE(parse_platform("linux"));
  EXPECT_FALSE(parse_platform("linux/amd64/v1/x"));
  EXPECT_FALSE(parse_platform("Linux/amd64"));
}

TEST(ImageConfig, WhatCompletionNeeds) {
  const auto c = parse_config(
      R"({"os":"linux","architecture":"arm64","config":{"WorkingDir":"/app","User":"node","Env":["A=b","PATH=/x:/y"],"Entrypoint":["tini","--"],"Cmd":["node"]}})",
      "x");
  ASSERT_TRUE(c);
  EXPECT_EQ(c->working_dir, "/app");
  EXPECT_EQ(c->path, "/x:/y");
  EXPECT_EQ(c->user, "node");
  EXPECT_EQ(c->entrypoint, (std::vector<std::string>{"tini", "--"}));
  EXPECT_EQ(parse_config("{}", "x")->working_dir, "/");
  EXPECT_EQ(parse_config(R"({"config":null})", "x")->path, "");
  EXPECT_FALSE(parse_config("nonsense", "x"));
}

TEST(DockerConfig, BothFormsAndTheirKeys) {
  const auto auth = [](std::string_view text) { return base64_encode(text); };
  const auto current =
      parse_docker_config(R"({"auths":{"https://index.docker.io/v1/":{"auth":")" + auth("hub:pw") + R"("},
          "registry.example.com":{"username":"u","password":"p"},
          "registry.example.com/team":{"auth":")" +
                              auth("team:pw:with:colons") + R"("},
          "*.wild.example.com":{"identitytoken":"idt"}},
          "credsStore":"desktop","credHelpers":{"gcr.io":"gcloud"}})",
                          "x");
  ASSERT_TRUE(current) << current.error().message;
  const auto of = [&](const char* image) { return matching(*current, *parse_reference(image)); };
  ASSERT_EQ(of("nginx").size(), 1U);
  EXPECT_EQ(of("nginx")[0].username, "hub");
  ASSERT_EQ(of("registry.example.com/team/app").size(), 2U);
  EXPECT_EQ(of("registry.example.com/team/app")[0].password, "pw:with:colons");
  EXPECT_EQ(of("registry.example.com/teammate/app").size(), 1U);
  EXPECT_EQ(of("a.wild.example.com/x")[0].identity_token, "idt");
  EXPECT_TRUE(of("a.b.wild.example.com/x").empty());
  EXPECT_TRUE(of("evil.com/registry.example.com").empty());
  EXPECT_EQ(helper_for(*current, *parse_reference("gcr.io/a")), "gcloud");
  EXPECT_EQ(helper_for(*current, *parse_reference("nginx")), "desktop");
  const auto legacy =
      parse_docker_config(R"({"registry.example.com":{"auth":")" + auth("a:b") + R"(","email":"x"}})", "x");
  ASSERT_TRUE(legacy);
  EXPECT_EQ(matching(*legacy, *parse_reference("registry.example.com/x"))[0].username, "a");
}

TEST(DockerConfig, ErrorsNameTheEntryAndNeverASecret) {
  for (const std::string& bad : std::vector<std::string>{
           R"({"auths":{"reg.io":{"auth":"!!!secret"}}})",
           R"({"auths":{"reg.io":{"auth":")" + base64_encode("secretsecret") + R"("}}})",
           R"({"auths":{"reg.io":"secret"}})", R"({"auths":{"reg.io":{"registrytoken":"secret\n"}}})",
           R"({"auths":{"secret)", R"({"credsStore":"../secret"})"}) {
    const auto c = parse_docker_config(bad, "the file");
    ASSERT_FALSE(c) << bad;
    EXPECT_EQ(c.error().code, "image.bad_credentials");
    EXPECT_EQ(c.error().message.find("secret"), std::string::npos) << c.error().message;
  }
}

TEST(Helper, ItsAnswerAndItsSilence) {
  EXPECT_EQ(parse_helper_output(R"({"ServerURL":"x","Username":"u","Secret":"s"})", "h")->password, "s");
  EXPECT_EQ(parse_helper_output(R"({"Username":"<token>","Secret":"s"})", "h")->identity_token, "s");
  EXPECT_FALSE(parse_helper_output(R"({"Username":"u"})", "h"));
  EXPECT_FALSE(parse_helper_output("secret words", "h"));
}

TEST(BlobCheck, SizeAndDigestBothWays) {
  Descriptor d;
  d.size = 3;
  d.digest = "sha256:" + sha256_hex("abc");
  BlobCheck good(d);
  ASSERT_TRUE(good.update("a"));
  ASSERT_TRUE(good.update("bc"));
  EXPECT_TRUE(good.finish());
  BlobCheck shorter(d);
  ASSERT_TRUE(shorter.update("ab"));
  EXPECT_EQ(shorter.finish().error().code, "image.size_mismatch");
  BlobCheck longer(d);
  EXPECT_EQ(longer.update("abcd").error().code, "image.size_mismatch");
  BlobCheck other(d);
  ASSERT_TRUE(other.update("abd"));
  EXPECT_EQ(other.finish().error().code, "image.digest_mismatch");
  // sha512 of "abc", from FIPS 180-4.
  d.digest =
      "sha512:"
      "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d44"
      "23643ce80e2a9ac94fa54ca49f";
  BlobCheck large(d);
  ASSERT_TRUE(large.update("abc"));
  EXPECT_TRUE(large.finish());
}

}  // namespace
}  // namespace oddjob::image
