#include "observe/http_guard.h"

#include <algorithm>
#include <string_view>

#include "base/file.h"
#include "observe/http_target.h"

namespace ponder {
namespace {

constexpr size_t kShortestToken = 16;
constexpr size_t kLongestToken = 256;

char LowerCase(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) { return LowerCase(c); });
  return lower;
}

// "localhost:6100", "[::1]:6100" without the port and the brackets.
std::string HostName(std::string_view host) {
  if (host.starts_with('[')) return LowerCase(host.substr(1, host.find(']') - 1));
  return LowerCase(host.substr(0, host.find(':')));
}

bool IsLoopbackName(std::string_view name) {
  if (name == "localhost" || name == "::1") return true;
  // 127.0.0.0/8 in digits: a name may begin with "127." too.
  return name.starts_with("127.") &&
         name.find_first_not_of("0123456789.") == std::string_view::npos;
}

// In a time that does not tell how much of it is right.
bool EqualSecrets(std::string_view left, std::string_view right) {
  if (left.size() != right.size()) return false;
  unsigned char difference = 0;
  for (size_t i = 0; i < left.size(); ++i) {
    difference = static_cast<unsigned char>(difference | (left[i] ^ right[i]));
  }
  return difference == 0;
}

std::string_view CookieValue(std::string_view cookies, std::string_view name) {
  while (!cookies.empty()) {
    const size_t end = cookies.find(';');
    std::string_view cookie = cookies.substr(0, end);
    cookie.remove_prefix(std::min(cookie.find_first_not_of(' '), cookie.size()));
    if (cookie.starts_with(name) && cookie.substr(name.size()).starts_with('=')) {
      return cookie.substr(name.size() + 1);
    }
    cookies = end == std::string_view::npos ? std::string_view() : cookies.substr(end + 1);
  }
  return {};
}

bool IsForData(std::string_view path) { return path == "/metrics" || path.starts_with("/api/"); }

std::optional<HttpResponse> CheckToken(const HttpGuard& guard, const HttpRequest& request) {
  constexpr std::string_view kBearer = "Bearer ";
  // Browsers send a cookie to every port of a host, so that its name tells servers apart.
  const std::string cookie = fmt::format("ponder_token_{}", guard.port);
  if (request.path == "/") {
    const auto given = request.query.find("token");
    if (given != request.query.end() && EqualSecrets(given->second, guard.token)) {
      // Away from the address that holds the token.
      return HttpResponse{
          .status = 303,
          .headers = {{"Location", "/"},
                      {"Set-Cookie", fmt::format("{}={}; HttpOnly; SameSite=Strict; Path=/", cookie,
                                                 guard.token)}}};
    }
  }
  if (EqualSecrets(CookieValue(request.cookie, cookie), guard.token)) return std::nullopt;
  const std::string_view authorization = request.authorization;
  if (authorization.starts_with(kBearer) &&
      EqualSecrets(authorization.substr(kBearer.size()), guard.token)) {
    return std::nullopt;
  }
  HttpResponse refusal = HttpError(
      401,
      "this server needs its token: open /?token=TOKEN once, or send Authorization: Bearer "
      "TOKEN");
  refusal.headers.emplace_back("WWW-Authenticate", "Bearer");
  return refusal;
}

}  // namespace

std::optional<HttpResponse> HttpGuard::Refusal(const HttpRequest& request) const {
  const std::string name = HostName(request.host);
  const bool any_host = !token.empty() && (address == "0.0.0.0" || address == "::");
  if (!any_host && !IsLoopbackName(name) && name != address) {
    return HttpError(421, fmt::format("this server answers for localhost and {}, not for \"{}\"",
                                      address, request.host));
  }
  if (IsForData(request.path)) {
    // "none" is a person's own doing: a bookmark, an address typed in.
    const bool fetched_here = request.fetch_site.empty() || request.fetch_site == "same-origin" ||
                              request.fetch_site == "none";
    const std::string origin = LowerCase(request.origin), host = LowerCase(request.host);
    const bool own_origin =
        origin.empty() || origin == "http://" + host || origin == "https://" + host;
    if (!fetched_here || !own_origin) {
      return HttpError(403, "pages of other sites may not read this server's data");
    }
  }
  if (!token.empty()) return CheckToken(*this, request);
  return std::nullopt;
}

absl::StatusOr<std::string> ReadTokenFile(const std::string& path) {
  PONDER_ASSIGN_OR_RETURN(std::string token, ReadFile(path, 4096));
  token.resize(std::min(token.find_first_of("\r\n"), token.size()));
  const bool plain = std::all_of(token.begin(), token.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-._~+/=").find(c) != std::string_view::npos;
  });
  if (!plain || token.size() < kShortestToken || token.size() > kLongestToken) {
    return InvalidArgument(
        "{}: expected a token of {} to {} letters, digits and -._~+/= in the first line, for "
        "example from: openssl rand -hex 24",
        path, kShortestToken, kLongestToken);
  }
  return token;
}

}  // namespace ponder
