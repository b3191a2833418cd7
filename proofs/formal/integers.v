(* A checker of integer rows, which Coq's kernel runs on the floats of one stored matrix: a float is an integer over a
   power of two. What it accepts is a theorem about that very matrix, over every ordered field.
   Source: Gonthier 2008, Formal proof: the four-color theorem (proof by reflection); Higham 2002, section 2.1. *)
From Coq Require Import BinInt.
From mathcomp Require Import all_ssreflect all_algebra ssrZ zify.
From StiefelFormal Require Import frobenius isometry certificates.

Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.

Import GRing.Theory Num.Theory Order.TTheory.
Local Open Scope ring_scope.

(* Z is the binary integer of Coq's own library. mathcomp's int is unary: one literal of a float took 21 GB. *)
Section Checker.
Implicit Types (x y : seq Z) (rows : seq (seq Z)).

Fixpoint product x y : Z :=
  match x, y with a :: x', b :: y' => Z.add (Z.mul a b) (product x' y') | _, _ => Z0 end.

Definition square (a : Z) := Z.mul a a.

(* The squares of what a row of M M^T holds right of its diagonal. *)
Fixpoint across x rows : Z :=
  match rows with y :: rows' => Z.add (square (product x y)) (across x rows') | [::] => Z0 end.

(* ||M M^T - unit I||^2 of the integer matrix M; M M^T is symmetric, so half of it is computed. *)
Fixpoint defect unit rows : Z :=
  match rows with
  | x :: rows' => Z.add (square (Z.sub (product x x) unit)) (Z.add (Z.double (across x rows')) (defect unit rows'))
  | [::] => Z0
  end.

(* Whether ||P P^T - I|| <= top / bottom of P = rows / scale, n columns. *)
Definition accepts n scale top bottom rows : bool :=
  [&& all (fun x => size x == n) rows, Z.ltb Z0 scale, Z.ltb Z0 bottom &
      Z.leb (Z.mul (defect (square scale) rows) (square bottom)) (Z.mul (square top) (square (square scale)))].

Lemma productC x y : product x y = product y x.
Proof. by elim: x y => [|a x IH] [|b y] //=; rewrite IH Z.mul_comm. Qed.

End Checker.

Section OrderedField.
Variable R : realFieldType.

Definition value (a : Z) : R := (int_of_Z a)%:~R.

(* The matrix rows / scale. *)
Definition matrix_of n scale (rows : seq (seq Z)) : 'M[R]_(size rows, n) :=
  \matrix_(i, j) (value (nth Z0 (nth [::] rows i) j) / value scale).

Lemma value_add a b : value (Z.add a b) = value a + value b.
Proof. by rewrite /value -intrD -rmorphD. Qed.

Lemma value_mul a b : value (Z.mul a b) = value a * value b.
Proof. by rewrite /value -intrM -rmorphM. Qed.

Lemma value_sub a b : value (Z.sub a b) = value a - value b.
Proof. by rewrite /value -mulrzBr -(rmorphB [rmorphism of int_of_Z]). Qed.

Lemma value_double a : value (Z.double a) = value a + value a.
Proof. by rewrite Z.double_spec value_mul mulrDl mul1r. Qed.

Lemma value_square a : value (square a) = value a ^+ 2.
Proof. by rewrite /square value_mul expr2. Qed.

Lemma value_le a b : Z.leb a b -> value a <= value b.
Proof. by rewrite /value ler_int; lia. Qed.

Lemma value_gt0 a : Z.ltb Z0 a -> 0 < value a.
Proof. by rewrite /value ltr0z; lia. Qed.

Lemma value_product n x y : size x = n -> size y = n ->
  value (product x y) = \sum_(j < n) value (nth Z0 x j) * value (nth Z0 y j).
Proof.
elim: n x y => [|n IH] [|a x] [|b y] //= => [_ _|[xn] [yn]]; first by rewrite big_ord0.
by rewrite big_ord_recl value_add value_mul IH.
Qed.

Lemma value_across x rows :
  value (across x rows) = \sum_(j < size rows) value (product x (nth [::] rows j)) ^+ 2.
Proof. by elim: rows => [|y rows IH] /=; rewrite ?big_ord0 // big_ord_recl value_add value_square IH. Qed.

Lemma value_defect unit rows :
  value (defect unit rows) = \sum_(j < size rows) \sum_(i < size rows)
    (value (product (nth [::] rows i) (nth [::] rows j)) - value unit *+ (i == j)) ^+ 2.
Proof.
elim: rows => [|x rows IH] /=; first by rewrite big_ord0.
rewrite !value_add value_square value_sub value_double value_across IH.
rewrite big_ord_recl [in RHS]big_ord_recl /= mulr1n -!addrA; congr (_ + (_ + _)).
  by apply: eq_bigr => j _; rewrite subr0 productC.
by rewrite -big_split /=; apply: eq_bigr => j _; rewrite big_ord_recl /= subr0.
Qed.

(** What the kernel checks of the floats on disk: where it accepts their integers and d = top / bottom, P = rows / scale
    has ||P P^T - I|| <= d (Frobenius) and |<xP, yP> - <x, y>| <= d ||x|| ||y|| for all x and y; squared. *)
Theorem accepted_rows_keep_inner_products n scale top bottom rows
    (P := matrix_of n scale rows) (d := value top / value bottom) :
  accepts n scale top bottom rows ->
  sqnorm (P *m P^T - 1%:M) <= d ^+ 2 /\
  forall x y, (inner (x *m P) (y *m P) - inner x y) ^+ 2 <= d ^+ 2 * (inner x x * inner y y).
Proof.
case/and4P=> /allP lengths /value_gt0 scale_gt0 /value_gt0 bottom_gt0 /value_le.
rewrite 2!value_mul value_defect !value_square => bound.
suff certified : sqnorm (P *m P^T - 1%:M) <= d ^+ 2 by split=> // x y; apply: certificate_sound.
have long i : (i < size rows)%N -> size (nth [::] rows i) = n by move=> /(mem_nth [::])/lengths/eqP.
set s := value scale in bound scale_gt0; have s0 : s != 0 by rewrite gt_eqF.
have -> : sqnorm (P *m P^T - 1%:M) = (\sum_(j < size rows) \sum_(i < size rows)
    (value (product (nth [::] rows i) (nth [::] rows j)) - s ^+ 2 *+ (i == j)) ^+ 2) / (s ^+ 2) ^+ 2.
  rewrite sqnormE mulr_suml; apply: eq_bigr => j _; rewrite mulr_suml; apply: eq_bigr => i _.
  rewrite -exprVn -exprMn !mxE (value_product (long _ (ltn_ord i)) (long _ (ltn_ord j))) mulrBl; congr ((_ - _) ^+ 2).
    by rewrite mulr_suml; apply: eq_bigr => k _; rewrite !mxE -/s expr2 invfM mulrACA.
  by rewrite mulrnAl mulfV // expf_neq0.
by rewrite /d expr_div_n ler_pdivr_mulr ?exprn_gt0 // mulrAC ler_pdivl_mulr ?exprn_gt0.
Qed.

End OrderedField.
