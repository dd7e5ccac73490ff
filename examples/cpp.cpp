// cpp.cpp: strata from C++: the two handles as unique_ptr, errors as exceptions (of the program's own: none may pass
// through the library).
//
//     cpp MODEL.gguf "a text" "another"
#include <strata.h>

#include <exception>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

struct Close {
    void operator()(strata_model *m) const
    {
        strata_model_close(m);
    }
    void operator()(strata_ctx *c) const
    {
        strata_ctx_close(c);
    }
};

class Embedder
{
  public:
    explicit Embedder(const std::string &path)
    {
        strata_error e{};
        strata_model *m = nullptr;
        check(strata_model_open(path.c_str(), nullptr, &m, &e), e);
        model_.reset(m);
        strata_ctx *c = nullptr;
        check(strata_ctx_open(m, nullptr, &c, &e), e);
        context_.reset(c);
        dims_ = strata_embed_dims(m, nullptr, &e);
        if (dims_ == 0) throw std::runtime_error(e.msg);
    }

    std::vector<std::vector<float>> embed(const std::vector<std::string_view> &texts)
    {
        std::vector<strata_text> in;
        for (std::string_view t : texts) in.push_back({t.data(), t.size()});
        std::vector<float> flat(texts.size() * dims_);
        strata_error e{};
        check(strata_embed(context_.get(), in.data(), in.size(), nullptr, flat.data(), dims_, nullptr, &e), e);
        std::vector<std::vector<float>> out;
        for (auto at = flat.begin(); at != flat.end(); at += dims_) out.emplace_back(at, at + dims_);
        return out;
    }

  private:
    static void check(int status, const strata_error &e)
    {
        if (status != STRATA_OK) throw std::runtime_error(e.msg);
    }

    // Destroyed from the last to the first: the context before its model.
    std::unique_ptr<strata_model, Close> model_;
    std::unique_ptr<strata_ctx, Close> context_;
    std::uint32_t dims_ = 0;
};

int main(int argc, char **argv)
try {
    if (argc < 3) {
        std::cerr << "usage: cpp MODEL.gguf TEXT...\n";
        return 2;
    }
    Embedder embedder(argv[1]);
    for (const auto &v : embedder.embed({argv + 2, argv + argc})) {
        for (std::size_t i = 0; i < 4 && i < v.size(); i++) std::cout << v[i] << ' ';
        std::cout << "... " << v.size() << " dims\n";
    }
} catch (const std::exception &e) {
    std::cerr << "cpp: " << e.what() << '\n';
    return 1;
}
