template <int N, typename T>
struct Bomb {
  using Type = typename Bomb<N - 1, Bomb<N, T>>::Type;
  using Other = typename Bomb<N - 1, Bomb<N - 1, T>>::Other;
};
template <typename T>
struct Bomb<0, T> {
  using Type = T;
  using Other = T;
};
int main() { return sizeof(Bomb<800, int>::Type) + sizeof(Bomb<800, int>::Other); }
