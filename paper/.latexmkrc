# latexmk, typed in this folder, makes pixelflow.pdf here and its other files in build/.
@default_files = ('pixelflow.tex');
$pdf_mode = 1;
$pdflatex = 'pdflatex -interaction=nonstopmode -halt-on-error %O %S';
$out_dir = '.';
$aux_dir = 'build';
$emulate_aux = 1;
$warnings_as_errors = 1;  # an undefined reference or citation is an error
