# embed.cmake - cmake -DOUT=FILE -DFILES=a|b|c -P embed.cmake: files as C arrays (sources.h).
string(REPLACE "|" ";" FILES "${FILES}")
set(arrays "")
set(rows "")
set(count 0)
foreach(file IN LISTS FILES)
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  get_filename_component(name ${file} NAME)
  string(APPEND arrays "static const char text_${count}[] = {${bytes}0};\n")
  string(APPEND rows "    {\"${name}\", text_${count}, sizeof(text_${count}) - 1},\n")
  math(EXPR count "${count} + 1")
endforeach()
file(WRITE ${OUT} "/* made by embed.cmake */\n#include \"backend/cuda/sources.h\"\n\n${arrays}
const struct dyno_cuda_source dyno_cuda_sources[] = {\n${rows}};
const size_t dyno_cuda_source_count = ${count};\n")
