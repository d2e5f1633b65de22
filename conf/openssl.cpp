#include "conf/openssl.h"

#include <openssl/err.h>
#include <openssl/pem.h>

namespace shunt {

std::string take_openssl_error() {
  const unsigned long code = ERR_peek_last_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  std::string text = reason == nullptr ? "unknown error" : reason;
  ERR_clear_error();
  return text;
}

bool take_end_of_pem() {
  const unsigned long code = ERR_peek_last_error();
  if (ERR_GET_LIB(code) != ERR_LIB_PEM || ERR_GET_REASON(code) != PEM_R_NO_START_LINE) return false;
  ERR_clear_error();
  return true;
}

OpenSslBio open_pem(std::string_view text) {
  ERR_clear_error();
  return OpenSslBio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

}  // namespace shunt
