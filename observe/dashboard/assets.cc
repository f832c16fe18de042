#include "observe/dashboard/assets.h"

#include <xxhash.h>

#include <map>
#include <string>

#include "base/status.h"

namespace ponder {
namespace {

struct Asset {
  std::string_view content;
  std::string content_type;
  std::string etag;
};

std::string ContentType(std::string_view name) {
  constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
      {".html", "text/html; charset=utf-8"},
      {".css", "text/css; charset=utf-8"},
      {".js", "text/javascript; charset=utf-8"},
      {".svg", "image/svg+xml"},
  };
  for (const auto& [ending, type] : kTypes) {
    if (name.ends_with(ending)) return std::string(type);
  }
  return "text/plain; charset=utf-8";
}

const std::map<std::string_view, Asset>& Assets() {
  static const auto* const assets = [] {
    auto* all = new std::map<std::string_view, Asset>();
    for (const auto& [name, content] : DashboardFiles()) {
      const XXH128_hash_t hash = XXH3_128bits(content.data(), content.size());
      (*all)[name] = {.content = content,
                      .content_type = ContentType(name),
                      .etag = fmt::format("\"{:016x}{:016x}\"", hash.high64, hash.low64)};
    }
    return all;
  }();
  return *assets;
}

// If-None-Match: * or a list of tags, weak ones among them.
bool Names(std::string_view if_none_match, std::string_view etag) {
  return if_none_match == "*" || if_none_match.find(etag) != std::string_view::npos;
}

}  // namespace

HttpResponse AssetResponse(std::string_view name, const HttpRequest& request) {
  const auto found = Assets().find(name);
  if (found == Assets().end()) {
    return HttpError(404, fmt::format("there is no file \"{}\" here", name));
  }
  const Asset& asset = found->second;
  HttpResponse response{.content_type = asset.content_type,
                        // Kept, but asked for each time: another version may run here tomorrow.
                        .headers = {{"ETag", asset.etag}, {"Cache-Control", "no-cache"}}};
  if (Names(request.if_none_match, asset.etag)) {
    response.status = 304;
  } else {
    response.body = asset.content;
  }
  return response;
}

}  // namespace ponder
